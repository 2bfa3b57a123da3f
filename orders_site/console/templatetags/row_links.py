"""Links to rows for the templates that stand in for django-unfold's."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_urls import admin_urlname
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse

register = template.Library()


@register.filter
def crumb_link(part: Mapping[str, Any]) -> str:
    """Where a part of the title leads; empty for nowhere.

    To a row by its id as the admin quotes it: django-unfold takes the id as it is, and one with
    something that looks quoted leads to another row or to none.
    """
    row = part["title"]
    if not isinstance(row, Model) or not part.get("link"):
        return str(part.get("link") or "")
    return reverse(admin_urlname(row._meta, "change"), args=[quote(row.pk)])
