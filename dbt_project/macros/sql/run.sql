{#
What belongs here: what a model may know about the run: the moment it reports on and the mark of the last publication.
Both come from ops.current_run, which is written before dbt starts; they are no vars of a normal run, because changed
vars void partial parsing. In unit tests override these macros.
#}

{% macro run_setting(name) %}
    {% if not execute %}{{ return(none) }}{% endif %}
    {% set relation = adapter.get_relation(database=target.database, schema='ops', identifier='current_run') %}
    {% if relation is none %}{{ return(none) }}{% endif %}
    {% set found = run_query("select cast(" ~ name ~ " as " ~ text_type() ~ ") from " ~ relation ~ " limit 1") %}
    {{ return(found.columns[0].values()[0] if found and found.rows | length > 0 else none) }}
{% endmacro %}

{# The moment that the run reports on, as a SQL timestamp: var as_of, else ops.current_run, else the start of dbt. #}
{% macro as_of() %}
    {% set moment = var('as_of', '') or run_setting('as_of') or run_started_at.strftime('%Y-%m-%d %H:%M:%S') %}
    {{ return("cast('" ~ (moment | string | replace("'", "") | replace("T", " ") | replace("Z", "")) ~ "' as timestamp)") }}
{% endmacro %}

{# as_of in the reporting time zone, as a SQL date. #}
{% macro as_of_date() %}{{ return(reporting_date(as_of())) }}{% endmacro %}

{# Greatest load id of the last published state, as plain text ('' before the first publication). #}
{% macro batch_mark() %}
    {% if var('batch_mark', none) is not none %}{{ return(var('batch_mark') | string) }}{% endif %}
    {{ return((run_setting('batch_mark') or '') | string | replace("'", "")) }}
{% endmacro %}
