"""What a person sees: a list of accounts, and a record with its fields."""

from __future__ import annotations

from urllib.parse import quote

from connectors.salesforce.sandbox.errors import not_found
from connectors.salesforce.sandbox.ids import to18
from connectors.salesforce.sandbox.page_model import account_list, record_view, run_action
from connectors.salesforce.sandbox.page_templates import LIST, RECORD
from connectors.salesforce.sandbox.routing import Context, Reply, Routes

HTML_TYPE = "text/html;charset=UTF-8"


def register(routes: Routes) -> None:
    """Adds the pages. They show what `?as=csm` (alias or user name) may see; without it, everything."""
    routes.add("GET", "/", home, kind="page", counted=False, login=False)
    routes.add("GET", "/lightning/r/{object}/{id}/view", record, kind="page", counted=False, login=False)
    routes.add("POST", "/lightning/r/{object}/{id}/action/{name}", action, kind="page", counted=False, login=False)
    routes.add("GET", "/{id}", short, kind="page", counted=False, login=False)


def _viewer(context: Context) -> None:
    alias = context.params.get("as")
    if alias:
        context.user = context.state.user(alias)


def _language(context: Context) -> str:
    return "en" if context.params.get("lang") == "en" else "ja"


def _shared(context: Context) -> dict[str, str]:
    """What every page needs: the language, the viewer, and the query string that keeps both."""
    language, viewer = _language(context), context.params.get("as", "")
    part = f"&as={quote(viewer)}" if viewer else ""
    return {"lang": language, "as_": viewer, "as_part": part, "keep": f"lang={language}{part}"}


def home(context: Context) -> Reply:
    """`GET /?q=&lang=`: accounts by name."""
    _viewer(context)
    text = context.params.get("q", "")
    return Reply(LIST.render(rows=account_list(context.state, text), q=text, **_shared(context)), media_type=HTML_TYPE)


def record(context: Context) -> Reply:
    """`GET /lightning/r/{object}/{id}/view`."""
    _viewer(context)
    record_id = to18(context.path["id"])
    if record_id is None:
        raise not_found()
    view = record_view(context.state, context.user, context.path["object"], record_id, _language(context))
    return Reply(RECORD.render(view=view, **_shared(context)), media_type=HTML_TYPE)


def action(context: Context) -> Reply:
    """`POST …/action/{name}?as=`: presses a quick action as that person (a CSM when nobody is named), then shows the record again."""
    user = context.state.user(context.params.get("as") or "csm")
    record_id = to18(context.path["id"])
    if record_id is None:
        raise not_found()
    run_action(context.state, user, context.path["object"], record_id, context.path["name"])
    return Reply(None, 303, {"Location": f"/lightning/r/{context.path['object']}/{record_id}/view?{_shared(context)['keep']}"})


def short(context: Context) -> Reply:
    """`GET /{id}`: leads to the record's page."""
    record_id = to18(context.path["id"])
    item = context.state.by_prefix(record_id) if record_id else None
    if item is None:
        raise not_found()
    return Reply(None, 302, {"Location": f"/lightning/r/{item.name}/{record_id}/view"})
