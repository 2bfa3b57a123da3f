"""The site's own app: system checks and the commands that concern the whole."""

from django.apps import AppConfig


class OrdersSiteConfig(AppConfig):
    name = "orders_site"
    label = "site"
    verbose_name = "Site"

    def ready(self) -> None:
        from orders_site import checks  # noqa: F401 - registers the checks
