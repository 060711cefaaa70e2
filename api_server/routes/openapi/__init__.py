"""`/openapi/<family>.json`: an exact OpenAPI document per family of types, and one for the actions.

One document of all 126 types would take a browser minutes. A document is made from the object model when it is first
asked for and kept as bytes. OpenAPI 3.0, because that is what the Swagger UI in the package reads.
"""

from api_server.routes.openapi.documents import ACTIONS_DOCUMENT, document_names, router

__all__ = ["ACTIONS_DOCUMENT", "document_names", "router"]
