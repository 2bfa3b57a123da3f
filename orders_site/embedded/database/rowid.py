"""CockroachDB's `unique_rowid()` for PostgreSQL: the default of auto fields."""

# As CockroachDB's: units of 10 microseconds in the high 48 bits, and 15 low bits that tell apart
# what falls into one unit. There the low bits name the node; here a sequence counts, which would
# have to go round (32,768 calls) within one unit to give a number twice.
# https://www.cockroachlabs.com/docs/stable/functions-and-operators#id-generation-functions
CREATE = """
SELECT pg_advisory_xact_lock(7215804493861);
CREATE SEQUENCE IF NOT EXISTS unique_rowid_low_bits AS smallint
    MINVALUE 0 MAXVALUE 32767 START 0 CYCLE;
GRANT USAGE ON SEQUENCE unique_rowid_low_bits TO PUBLIC;
CREATE OR REPLACE FUNCTION unique_rowid() RETURNS bigint LANGUAGE sql VOLATILE
RETURN ((extract(epoch FROM clock_timestamp()) * 100000)::bigint << 15)
    | nextval('unique_rowid_low_bits');
"""


def create_unique_rowid(connection) -> None:
    """Create the function in the connection's database, unless it is there.

    The role needs CREATE on the schema, as for any migration.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regprocedure('unique_rowid()')")
        if cursor.fetchone()[0] is None:
            # Without parameters all statements go in one message, hence in one transaction.
            cursor.execute(CREATE)
