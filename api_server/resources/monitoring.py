"""alarm: rules that can be evaluated (contract 5.11)."""

import json
from typing import Any

from api_server.errors import BadRequest
from api_server.resources.hooks import Hook
from api_server.store.objects import Object
from api_server.store.transaction import Transaction


class Alarm(Hook):
    """Has rules from the beginning."""

    FIELD = "alarm_rules"

    def prepare(self, tx: Transaction, before: Object | None, after: Object) -> None:
        rules = after.properties.get(self.FIELD)
        if before is not None and before.properties.get(self.FIELD) == rules:
            return
        if rules is None:
            if self.FIELD in after.positions:
                return  # taken away one by one
            raise BadRequest(f"{self.FIELD} not specified or null" if before is None else
                             f"{self.FIELD} cannot be removed")  # fmt: skip
        for all_of in rules.get("or_list") or ():
            for condition in all_of.get("and_list") or ():
                check_condition(condition)


def check_condition(condition: dict[str, Any]) -> None:
    """An attribute is compared with another one or with a value; `range` wants a value that is one."""
    operand = condition.get("operand2") or {}
    attribute, text = operand.get("uve_attribute"), operand.get("json_value")
    if attribute is None and text is None:
        raise BadRequest("operand2 should have 'uve_attribute' or 'json_value'")
    if attribute is not None and text is not None:
        raise BadRequest("operand2 should have either 'uve_attribute' or 'json_value', not both")
    value = None
    if text is not None:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise BadRequest(f"Invalid json_value '{text:.200}' specified in alarm_rules") from None
    if condition.get("operation") != "range":
        return
    if text is None:
        raise BadRequest("json_value not specified for 'range' operation")
    numbers = [one for one in value if type(one) in (int, float)] if isinstance(value, list) else []
    if value != numbers or len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise BadRequest(f"Invalid json_value {text:.200} for 'range' operation. json_value should be specified as "
                         "'[x, y]', where x < y")  # fmt: skip
