"""The two HTML pages. Everything is escaped; there are no scripts."""

from __future__ import annotations

from jinja2 import DictLoader, Environment

_BASE = """<!doctype html>
<html lang="{{ lang }}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{% block title %}{% endblock %}</title>
<style>
:root { color-scheme: light; --line: #dde3ea; --soft: #5a6572; --link: #0b5cab; }
* { box-sizing: border-box; }
body { margin: 0; background: #eef2f6; color: #16202b; font: 14px/1.55 system-ui, "Hiragino Sans", "Noto Sans CJK JP", "Yu Gothic", sans-serif; }
header { background: #fff; border-bottom: 3px solid #0b5cab; padding: .8rem 1.4rem; display: flex; gap: 1rem; align-items: center; flex-wrap: wrap; }
header .home { font-weight: 700; } header nav { margin-left: auto; display: flex; gap: .8rem; }
a { color: var(--link); text-decoration: none; } a:hover, a:focus { text-decoration: underline; }
main { max-width: 72rem; margin: 1.2rem auto; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: 0; } h2 { font-size: 1rem; margin: 0 0 .7rem; } small { color: var(--soft); }
.card { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: 1rem 1.2rem; margin: 0 0 1rem; }
.card.main { border-top: 4px solid #2e844a; }
.title { display: flex; gap: 1rem; align-items: center; } .title .actions { margin-left: auto; display: flex; gap: .5rem; }
.action { border: 1px solid var(--line); border-radius: 4px; padding: .25rem .8rem; color: var(--link); background: #fff; cursor: pointer; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 0 2rem; }
dl { margin: 0; } dl > div { border-bottom: 1px solid var(--line); padding: .4rem 0; min-height: 3.2rem; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.pill { display: inline-block; border-radius: 1rem; padding: 0 .7rem; background: #e4edf8; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; color: var(--soft); font-size: .8rem; }
th, td { padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.double, td.currency, td.percent, td.int { text-align: right; font-variant-numeric: tabular-nums; }
form.bare { margin: 0; } form { display: flex; gap: .5rem; margin-bottom: .8rem; }
input { flex: 1; padding: .4rem .6rem; border: 1px solid var(--line); border-radius: 4px; font: inherit; }
button { padding: .4rem 1rem; border: 1px solid var(--link); border-radius: 4px; background: var(--link); color: #fff; font: inherit; }
</style></head><body>
<header><a class="home" href="/?{{ keep }}">Sandbox CRM</a>
<nav><a href="?lang=ja{{ as_part }}">日本語</a><a href="?lang=en{{ as_part }}">English</a></nav></header>
<main>{% block main %}{% endblock %}</main></body></html>"""

_LIST = """{% extends "base" %}
{% block title %}{{ "取引先" if lang == "ja" else "Accounts" }}{% endblock %}
{% block main %}<div class="card"><h1>{{ "取引先" if lang == "ja" else "Accounts" }}</h1>
<form method="get"><input type="hidden" name="lang" value="{{ lang }}">{% if as_ %}<input type="hidden" name="as" value="{{ as_ }}">{% endif %}
<input name="q" value="{{ q }}" aria-label="{{ '検索' if lang == 'ja' else 'Search' }}"
 placeholder="{{ '名前で検索' if lang == 'ja' else 'Search by name' }}">
<button>{{ "検索" if lang == "ja" else "Search" }}</button></form>
<table><thead><tr><th>{{ "取引先名" if lang == "ja" else "Account Name" }}</th><th>{{ "業種" if lang == "ja" else "Industry" }}</th>
<th>{{ "所有者" if lang == "ja" else "Owner" }}</th></tr></thead><tbody>
{% for row in rows %}<tr><td><a href="/lightning/r/Account/{{ row.id }}/view?{{ keep }}">{{ row.name }}</a></td>
<td>{{ row.industry or "" }}</td><td>{{ row.owner or "" }}</td></tr>
{% else %}<tr><td colspan="3">{{ "見つかりません" if lang == "ja" else "Nothing found" }}</td></tr>{% endfor %}
</tbody></table></div>{% endblock %}"""

_RECORD = """{% extends "base" %}
{% macro show(cell) %}{% if cell.link %}<a href="{{ cell.link }}?{{ keep }}">{{ cell.text }}</a>
{%- elif cell.kind == "pill" and cell.text %}<span class="pill">{{ cell.text }}</span>{% else %}{{ cell.text }}{% endif %}{% endmacro %}
{% block title %}{{ view.title }}{% endblock %}
{% block main %}
<div class="card title"><div><small>{{ view.object_label }}</small><h1>{{ view.title }}</h1></div>
<div class="actions">{% for action in view.actions %}
<form class="bare" method="post" action="{{ view.path }}/action/{{ action.name }}?{{ keep }}">
<button class="action">{{ action.label }}</button></form>
{% endfor %}</div></div>
{% for section in view.sections %}<section class="card{% if section.main %} main{% endif %}"><h2>{{ section.title }}</h2><div class="columns">
{% for column in section.columns %}{% if column %}<dl>{% for cell in column %}<div>
<dt{% if cell.help %} title="{{ cell.help }}"{% endif %}>{{ cell.label }}</dt><dd>{{ show(cell) }}</dd></div>
{% endfor %}</dl>{% endif %}{% endfor %}</div></section>{% endfor %}
{% for list in view.related %}<section class="card"><h2>{{ list.title }} ({{ list.total }})</h2><table><thead><tr>
{% for column in list.columns %}<th>{{ column }}</th>{% endfor %}</tr></thead><tbody>
{% for row in list.rows %}<tr>{% for cell in row %}<td class="{{ cell.kind }}">{{ show(cell) }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></section>{% endfor %}
{% endblock %}"""

_ENVIRONMENT = Environment(loader=DictLoader({"base": _BASE, "list": _LIST, "record": _RECORD}), autoescape=True)
LIST = _ENVIRONMENT.get_template("list")
RECORD = _ENVIRONMENT.get_template("record")
