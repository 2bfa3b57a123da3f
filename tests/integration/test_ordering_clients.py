"""API clients: issued once, recognised by their token only."""

from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from orders_site.ordering.models import ApiClient

pytestmark = pytest.mark.django_db


def test_a_client_is_recognised_by_its_token_which_is_stored_nowhere():
    client, token = ApiClient.issue("shop")
    assert ApiClient.authenticate(token) == client
    assert token not in str(ApiClient.objects.values().get())


def test_tokens_differ():
    assert ApiClient.issue("one")[1] != ApiClient.issue("two")[1]


def test_an_inactive_client_is_not_recognised():
    client, token = ApiClient.issue("shop")
    client.is_active = False
    client.save()
    assert ApiClient.authenticate(token) is None


@pytest.mark.parametrize(
    "token", ["", "x", "ord_", "ord_" + "a" * 43, "ord_" + "ä" * 43, "\x00", "x" * 100_000]
)
def test_any_other_text_is_nobody(token):
    ApiClient.issue("shop")
    assert ApiClient.authenticate(token) is None


@pytest.mark.parametrize("name", ["", "n" * 101, "a\x00b", "a\nb", "a\udcffb"])
def test_a_strange_name_is_refused(name):
    with pytest.raises(ValidationError):
        ApiClient.issue(name)


def test_a_name_is_given_once():
    ApiClient.issue("shop")
    with pytest.raises(ValidationError):
        ApiClient.issue("shop")


def test_the_command_prints_the_token_alone():
    out, err = StringIO(), StringIO()
    call_command("create_api_client", "shop", stdout=out, stderr=err)
    client = ApiClient.authenticate(out.getvalue().removesuffix("\n"))
    assert client is not None
    assert client.name == "shop"
    assert str(client.id) in err.getvalue()


def test_the_command_says_what_may_not_be_blank():
    with pytest.raises(CommandError, match=r"name: This field cannot be blank\."):
        call_command("create_api_client", "", stdout=StringIO(), stderr=StringIO())


def test_the_command_refuses_a_taken_name_in_words():
    ApiClient.issue("shop")
    with pytest.raises(CommandError, match="already exists"):
        call_command("create_api_client", "shop", stdout=StringIO(), stderr=StringIO())
