"""The YAML is the source: `model.json` is what it says, and what it says wrongly is refused with its place."""

from pathlib import Path

import pytest

from schema import build, loader

COMMON = """
standard:
  properties: {annotations: map Pairs.pair by key}
  references: {tag_refs: tag}
types:
  tag: {parents: [config-root]}
complex:
  Pairs: {pair: list Pair}
  Pair: {key: string, value: string}
"""

FRUIT = """
types:
  basket:
    description: Holds fruit
    parents: [config-root]
  apple:
    parents: [basket derived, config-root]
    properties:
      colour: Colour CR required = red
      weight: {type: Weight, description: in grams}
      seeds: list Seeds.seed
    references:
      apple_refs: apple
      basket_refs: basket -> Pair derived system-only
complex:
  Seeds: {seed: list Weight}
simple:
  Colour: [red, green]
  Weight: integer -1..500
"""


def write(folder: Path, fruit: str) -> Path:
    (folder / "common.yaml").write_text(COMMON)
    (folder / "fruit.yaml").write_text(fruit)
    return folder


def test_model_json_is_what_the_yaml_says() -> None:
    assert loader.MODEL.read_text() == build.render(build.read(build.SOURCE)), "run `make model`"


def test_a_new_family_is_yaml_and_nothing_else(tmp_path: Path) -> None:
    model = loader.parse(build.read(write(tmp_path, FRUIT)))
    assert model.families == {"common": ("tag",), "fruit": ("apple", "basket")}
    apple, basket = model.types["apple"], model.types["basket"]
    assert (basket.description, basket.is_root, basket.parents) == ("Holds fruit", True, ())
    assert (apple.is_root, apple.parents) == (True, ("basket",))
    colour, weight, seeds = (apple.properties[name] for name in ("colour", "weight", "seeds"))
    assert (colour.type, colour.operations, colour.presence, colour.default) == ("Colour", "CR", "required", "red")
    assert (weight.type, weight.description) == ("Weight", "in grams")
    assert (seeds.type, seeds.kind, seeds.wrapper, seeds.item_type) == ("Seeds", "list", "seed", "Weight")
    assert apple.properties["annotations"].item_type == "Pair"
    assert apple.references["apple_refs"].symmetric
    assert apple.references["basket_refs"].attr == "Pair"
    assert basket.children["apples"].derived
    assert basket.back_references["apple_back_refs"].derived
    assert model.simple_types["Colour"].enum == ("red", "green")
    assert (model.simple_types["Weight"].minimum, model.simple_types["Weight"].maximum) == (-1, 500)


@pytest.mark.parametrize(
    ("right", "wrong", "text"),
    [
        ("colour: Colour CR", "colour: Color CR", "apple.colour: there is no type Color"),
        ("CR required", "CR requird", "fruit.yaml: apple: no such word: requird"),
        ("list Seeds.seed", "list Seeds.sead", "apple.seeds: Seeds has no member sead"),
        ("list Seeds.seed", "map Seeds.seed", "fruit.yaml: apple: a map needs 'by'"),
        ("basket derived", "basket stray", "fruit.yaml: apple: no parent: basket stray"),
        ("basket derived", "bucket derived", "apple: there is no parent type bucket"),
        ("basket_refs: basket", "basket_refs: bucket", "basket_refs must be named after bucket"),
        ("basket_refs: basket", "bucket_refs: bucket", "apple.bucket_refs: there is no type bucket"),
        ("-> Pair", "-> Peer", "apple.basket_refs: there is no type Peer"),
        ("description: Holds", "descriptoin: Holds", "fruit.yaml: basket: unknown: ['descriptoin']"),
        ("-1..500", "-1--500", "fruit.yaml: Weight: no simple type: integer -1--500"),
        ("[red, green]", "[red, on]", "fruit.yaml: Colour: choices must be texts: ['red', True]"),
        ("  Colour:", "  Pair: string\n  Colour:", "complex and simple at once: ['Pair']"),
        ("  Colour:", "  Shade: string\n  Colour:", "nothing uses ['Shade']"),
        ("  basket:", "  tag: {}\n  basket:", "fruit.yaml: tag is declared twice"),
        ("  apple:", "  basket: {}\n  apple:", "fruit.yaml: basket stands twice in one mapping"),
    ],
)
def test_refuses_what_has_no_meaning(tmp_path: Path, right: str, wrong: str, text: str) -> None:
    assert right in FRUIT
    with pytest.raises(build.NotWellFormed) as refusal:
        build.read(write(tmp_path, FRUIT.replace(right, wrong, 1)))
    assert text in str(refusal.value)
