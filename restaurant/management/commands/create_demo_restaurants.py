"""Restaurants to try the system with."""

from typing import Any

from django.core.management.base import BaseCommand

from restaurant.models import Restaurant

DEMO = (
    Restaurant(id="pizza-roma", name="Pizza Roma", accepts_automatically=True),
    Restaurant(id="sushi-kyoto", name="Sushi Kyoto", preparation_minutes=35),
    Restaurant(id="burger-closed", name="Burger Closed", is_open=False),
)


class Command(BaseCommand):
    help = (
        "Creates the demo restaurants: pizza-roma approves orders by itself, sushi-kyoto waits for "
        "a person, burger-closed rejects them. Those that exist stay as they are."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        Restaurant.objects.bulk_create(DEMO, ignore_conflicts=True)
        self.stdout.write(f"demo restaurants: {', '.join(each.id for each in DEMO)}")
