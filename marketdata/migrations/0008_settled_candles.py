from django.db import migrations, models

STAMPING = """
CREATE OR REPLACE FUNCTION ml.stamp_candle_blocks() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fresh CONSTANT uuid := gen_random_uuid();
BEGIN
    INSERT INTO ml.candle_blocks (market_id, block, stamp, settled, newest)
    SELECT market_id, block, fresh, fresh, newest
    FROM (
        SELECT market_id, open_time / 2592000000 AS block, max(open_time) AS newest FROM changed GROUP BY 1, 2
    ) AS touched
    ORDER BY market_id, block
    ON CONFLICT (market_id, block) DO UPDATE
    SET stamp = excluded.stamp, settled = excluded.settled,
        newest = greatest(candle_blocks.newest, excluded.newest);
    RETURN NULL;
END $$
"""
APPENDING = """
CREATE FUNCTION ml.stamp_appended_candles() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fresh CONSTANT uuid := gen_random_uuid();
    other CONSTANT uuid := gen_random_uuid();
BEGIN
    -- One candle later than all before it leaves what is settled as it was. Several at once of one block differ in
    -- stamp and settled, and settle anew: which of them are later than the rest cannot be told under one row's lock.
    INSERT INTO ml.candle_blocks (market_id, block, stamp, settled, newest)
    SELECT market_id, block, fresh, CASE WHEN candles = 1 THEN fresh ELSE other END, newest
    FROM (
        SELECT market_id, open_time / 2592000000 AS block, max(open_time) AS newest, count(*) AS candles
        FROM changed GROUP BY 1, 2
    ) AS touched
    ORDER BY market_id, block
    ON CONFLICT (market_id, block) DO UPDATE
    SET stamp = excluded.stamp,
        settled = CASE
            WHEN excluded.settled = excluded.stamp AND excluded.newest > candle_blocks.newest
            THEN candle_blocks.settled ELSE excluded.settled
        END,
        newest = greatest(candle_blocks.newest, excluded.newest);
    RETURN NULL;
END $$
"""
FORMER = """
CREATE OR REPLACE FUNCTION ml.stamp_candle_blocks() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fresh CONSTANT uuid := gen_random_uuid();
BEGIN
    INSERT INTO ml.candle_blocks (market_id, block, stamp)
    SELECT market_id, block, fresh
    FROM (SELECT DISTINCT market_id, open_time / 2592000000 AS block FROM changed) AS touched
    ORDER BY market_id, block
    ON CONFLICT (market_id, block) DO UPDATE SET stamp = excluded.stamp;
    RETURN NULL;
END $$
"""
TRIGGER = (
    "CREATE TRIGGER candles_inserted AFTER INSERT ON ml.candles REFERENCING NEW TABLE AS changed "
    "FOR EACH STATEMENT EXECUTE FUNCTION ml.{}()"
)


def settle(apps, schema_editor):
    """Know the newest candle of each block, and tell appending from all other changes."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    schema_editor.execute(
        "UPDATE ml.candle_blocks b SET settled = b.stamp, newest = coalesce((SELECT max(open_time) FROM ml.candles c "
        "WHERE c.market_id = b.market_id AND open_time >= b.block * 2592000000 "
        "AND open_time < (b.block + 1) * 2592000000), 0)"
    )
    schema_editor.execute(STAMPING)
    schema_editor.execute(APPENDING)
    schema_editor.execute("DROP TRIGGER candles_inserted ON ml.candles")
    schema_editor.execute(TRIGGER.format("stamp_appended_candles"))


def unsettle(apps, schema_editor):
    """Undo."""
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute("DROP TRIGGER candles_inserted ON ml.candles")
    schema_editor.execute(FORMER)
    schema_editor.execute(TRIGGER.format("stamp_candle_blocks"))
    schema_editor.execute("DROP FUNCTION ml.stamp_appended_candles()")


class Migration(migrations.Migration):

    dependencies = [
        ('marketdata', '0007_trading'),
    ]

    operations = [
        migrations.AddField(
            model_name='candleblock',
            name='newest',
            field=models.BigIntegerField(default=0, help_text='Open of the newest candle ever stored in it, ms.'),
        ),
        migrations.AddField(
            model_name='candleblock',
            name='settled',
            field=models.UUIDField(help_text='Random; renewed by any change but one candle later than all others.', null=True),
        ),
        migrations.RunPython(settle, unsettle),
    ]
