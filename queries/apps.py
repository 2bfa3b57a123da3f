from django.apps import AppConfig


class QueriesConfig(AppConfig):
    name = "queries"
    label = "queries"
    verbose_name = "Queries"
