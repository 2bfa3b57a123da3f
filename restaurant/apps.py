from django.apps import AppConfig


class RestaurantConfig(AppConfig):
    name = "restaurant"
    label = "restaurant"
    verbose_name = "Restaurant"
