from django.apps import AppConfig


class OrderingConfig(AppConfig):
    name = "orders_site.ordering"
    label = "ordering"
    verbose_name = "Ordering"
