"""`query`, `queryAll` and the pages behind a locator."""

from __future__ import annotations

import re

from connectors.salesforce.sandbox import soql_result
from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.routing import Context, Reply, Routes

_BATCH = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)


def register(routes: Routes) -> None:
    """Adds the paths of this area."""
    routes.add("GET", "query", query, kind="query")
    routes.add("GET", "queryAll", query_all, kind="query")
    routes.add("GET", "query/{locator}", more, kind="query_more")
    routes.add("GET", "queryAll/{locator}", more, kind="query_more")


def _page_size(context: Context) -> int:
    match = _BATCH.search(context.headers.get("sforce-query-options", ""))
    return int(match[1]) if match else soql_result.PAGE


def _api_path(context: Context) -> str:
    return f"/services/data/v{context.version}"


def _run(context: Context, all_rows: bool) -> Reply:
    text = context.params.get("q")
    if not text:
        raise SalesforceError("MALFORMED_QUERY", "A query string has to be specified")
    size = _page_size(context)
    return Reply(soql_result.first_page(context.state, context.user, text, all_rows=all_rows, api_path=_api_path(context), page_size=size))


def query(context: Context) -> Reply:
    """`GET query?q=`."""
    return _run(context, False)


def query_all(context: Context) -> Reply:
    """`GET queryAll?q=`: deleted, merged-away and archived rows too."""
    return _run(context, True)


def more(context: Context) -> Reply:
    """`GET query/{locator}-{offset}`."""
    return Reply(
        soql_result.next_page(context.state, context.user, context.path["locator"], api_path=_api_path(context), page_size=_page_size(context))
    )
