"""Events are never changed: a row-level trigger, which CockroachDB has too, says so to everyone."""

from django.db import migrations

CREATE_FUNCTION = """
CREATE OR REPLACE FUNCTION eventstore_refuse_change() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed or deleted' USING ERRCODE = '42501';
    RETURN NULL;
END
$$
"""
CREATE_TRIGGER = """
CREATE TRIGGER eventstore_event_is_immutable BEFORE UPDATE OR DELETE ON eventstore_event
FOR EACH ROW EXECUTE FUNCTION eventstore_refuse_change()
"""


class Migration(migrations.Migration):
    dependencies = [("eventstore", "0001_initial")]

    operations = [
        migrations.RunSQL([CREATE_FUNCTION], ["DROP FUNCTION eventstore_refuse_change()"]),
        migrations.RunSQL(
            [CREATE_TRIGGER], ["DROP TRIGGER eventstore_event_is_immutable ON eventstore_event"]
        ),
    ]
