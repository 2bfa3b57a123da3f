from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "orders_site.console"
    label = "console"
    verbose_name = "Operations"
