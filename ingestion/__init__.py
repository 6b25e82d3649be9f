"""From a system's API (or its files) to typed raw tables. Knows nothing of the orchestrator.

What belongs here: everything between "the vendor answered" and "the rows lie in `raw_<system>`". One
sub-package per system; the modules beside them are the core that all systems share:

- `settings`   which systems are connected, where their secrets come from, where this run writes (`Paths`);
- `http`       the one owner of retries, rate limits, deadlines, paging guards and redaction (`ApiClient`);
- `records`    the declaration of raw tables (`Column`, `Table`) and the columnar validation of records;
- `privacy`    pseudonyms for e-mail addresses and telephone numbers, before anything is written;
- `sources`    what a system offers to the core (`System`, `Resource`, `Context`, `Page`, `Done`);
- `registry`   finds the systems by scanning the sub-packages;
- `warehouse`  the one owner of paths, the writer lock, dlt pipelines, the clean start and the load report;
- `quarantine` lists and replays the records that were refused.

How to write a system
=====================
A system is a sub-package with `SYSTEM = System(...)` in its `__init__`. It declares raw tables and yields
pages; it never touches dlt, cursors' storage, pseudonyms, retries or the warehouse.

    CONTACTS = Table(
        "contacts",
        columns=(
            Column("contact_id", "text", path="id", required=True),
            Column("email", "email", path="properties.email"),  # arrives as email_hash + email_domain
            Column("updated_at", "timestamp", path="updatedAt", required=True),
            Column("associations", "json"),                     # nested objects stay JSON text
        ),
        key=("contact_id",),
        version="updated_at",          # an older version never overwrites a newer one
        cursor="updated_at",           # the core remembers the greatest value that was loaded
        lag=timedelta(minutes=15),     # context.since() is the cursor minus this
        ignored=("_links",),           # known and not wanted; all other unknown fields go to `_extra`
    )

    def contacts(context: Context) -> Iterator[Page | Done]:
        client = client_for(context.connection)
        since = context.since("contacts")                     # datetime (UTC) or None: everything
        for answer in client.pages("/crm/v3/objects/contacts", ...):
            yield Page("contacts", body=answer.content, at="results")      # raw bytes: the quick way
            # or: Page("contacts", records=[{...}, ...])                   # when the connector must rearrange

    SYSTEM = System(
        name="example",
        resources=(Resource("contacts", tables=(CONTACTS,), extract=contacts),),
        settings=(Setting("BASE_URL", default="https://api.example.com"), Setting("TOKEN", secret=True)),
        check=check,   # doctor: asks for one cheap record and raises SourceError with a remedy
    )

`extract` is called once per account of the connection; `context.account` names it. The core stamps
`source_relation` (`<system>:<connection>:<account>`) on every row. One resource may fill several tables
(`tables=(A, B)`, pages of both in any order); all tables of one resource are always loaded together.

Record-wise tables (no `slice`) merge on `source_relation` + `key`. A record that equals the stored one is not
written again.

Sliced tables are replaced slice by slice (a day, a file). Either `slice_by="date"` (the name of a declared
date or text column: its value is the slice) or each page says `slice="2026-05-01"`. After the slices have
been read *whole*, yield `Done(table, slices)`:

    yield Done("ad_performance", {day.isoformat(): None for day in days})  # None: compare the content
    yield Done("events", {"2026-05-01": object_md5})                       # a checksum known before reading

Rows of these slices that did not come again are removed; a listed slice without rows is emptied. With a
checksum, ask `context.slices("events")` (slice -> stored checksum) first and do not even read what has not
changed. To remove a slice that has vanished at the source: `Done("events", {"2026-05-01": GONE})`. A slice
that is not named in any Done is an error (its reading was not completed). `context.interrupted("events")`
lists the slices whose last load was killed: read them whatever the window.

`context.bounds` is set in a backfill (`Bounds(date_from, date_to)`, both inclusive): read exactly these days
and ignore `since`. Only sliced tables take part in a backfill and no cursor moves. `context.as_of` is the
present moment of this run (UTC): never ask for the time elsewhere.

Types of columns: text, bigint, double, boolean, date, timestamp (UTC, zone-less), money decimal(19,4), rate
decimal(18,8), json (text), email, phone, digest (a vendor's own hash of an e-mail address: arrives under its
own name as a pseudonym). A value that does not cast, a missing required field, a cursor in the future: that
record goes to `raw_<system>._quarantine` with the reason, and the rest goes on.

Every raw table has the declared columns and `source_relation`, `_slice`, `_extra`, `_dlt_load_id`.
`raw_<system>._slices` and `raw_<system>._quarantine` always exist.

How to run a load
=================
    with writer_lock(paths):
        report = load(paths, connection)                          # everything, plain
        report = load(paths, connection, ["ad_performance"], bounds=Bounds(a, b))      # a backfill

or step by step, for an orchestrator (see `warehouse.loading`):

    with loading(paths, connection, tables, as_of=..., bounds=...) as job:
        yield from dlt_resource.run(
            context, dlt_source=job.source, dlt_pipeline=job.pipeline, **job.run_options
        )
        report = job.finish()
"""
