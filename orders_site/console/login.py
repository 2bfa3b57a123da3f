"""The admin's login, which nobody can try without end."""

from math import ceil
from typing import Any

from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from orders_site.guessing import address_of, login_failures


class LoginForm(AuthenticationForm):
    """The admin's own, but for a limit on the failures from one address."""

    def clean(self) -> dict[str, Any]:
        address = address_of(self.request)
        if wait := login_failures.wait(address):
            # Told before the password is looked at, so that a right one shows nothing either.
            raise ValidationError(
                f"Too many failed logins from your address. Try again in {ceil(wait)} s.",
                code="too_many_failures",
            )
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            login_failures.note(address)
            raise
        return cleaned
