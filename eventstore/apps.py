from django.apps import AppConfig


class EventStoreConfig(AppConfig):
    name = "eventstore"
    label = "eventstore"
    verbose_name = "Event store"

    def ready(self) -> None:
        from eventstore.client import arrays

        arrays.register()
