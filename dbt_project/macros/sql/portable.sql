{#
What belongs here: the SQL that engines spell differently, dispatched: types, JSON, ordered lists, digests, time
zones, calendars, differences of time. The default branch is DuckDB; spark__ branches give the same results.
#}

{% macro text_type() %}{{ return(adapter.dispatch('text_type', 'funnelhouse')()) }}{% endmacro %}
{% macro default__text_type() %}{{ return('varchar') }}{% endmacro %}
{% macro spark__text_type() %}{{ return('string') }}{% endmacro %}

{# One value of a JSON text, as text; NULL where the path is absent or the text is no JSON. Path: 'a' or 'a.b'. #}
{% macro json_text(json, path) %}{{ return(adapter.dispatch('json_text', 'funnelhouse')(json, path)) }}{% endmacro %}
{% macro default__json_text(json, path) -%}
json_extract_string(try_cast({{ json }} as json), '$."{{ path.split('.') | join('"."') }}"')
{%- endmacro %}
{% macro spark__json_text(json, path) -%}
get_json_object({{ json }}, '$.{{ path }}')
{%- endmacro %}

{# A JSON array of texts as an engine's array of text (NULL and bad JSON: NULL). For `unnest_list`. #}
{% macro json_list(json) %}{{ return(adapter.dispatch('json_list', 'funnelhouse')(json)) }}{% endmacro %}
{% macro default__json_list(json) -%}
from_json(try_cast({{ json }} as json), '["varchar"]')
{%- endmacro %}
{% macro spark__json_list(json) -%}
from_json({{ json }}, 'array<string>')
{%- endmacro %}

{# A JSON object's members as an array of (key, value), both text (NULL and bad JSON: NULL). For `explode_list`. #}
{% macro json_pairs(json) %}{{ return(adapter.dispatch('json_pairs', 'funnelhouse')(json)) }}{% endmacro %}
{% macro default__json_pairs(json) -%}
map_entries(try_cast(try_cast({{ json }} as json) as map(varchar, varchar)))
{%- endmacro %}
{% macro spark__json_pairs(json) -%}
map_entries(from_json({{ json }}, 'map<string,string>'))
{%- endmacro %}

{# One row per element of an array: use in the select list of its own CTE. #}
{% macro explode_list(list) %}{{ return(adapter.dispatch('explode_list', 'funnelhouse')(list)) }}{% endmacro %}
{% macro default__explode_list(list) -%}unnest({{ list }}){%- endmacro %}
{% macro spark__explode_list(list) -%}explode({{ list }}){%- endmacro %}

{# Aggregate: the distinct values of an expression as text holding a sorted JSON array ('[]' where there is none). #}
{% macro sorted_json_list(expression) %}
    {{ return(adapter.dispatch('sorted_json_list', 'funnelhouse')(expression)) }}
{% endmacro %}
{% macro default__sorted_json_list(expression) -%}
coalesce(cast(to_json(list(distinct {{ expression }} order by {{ expression }}) filter (where {{ expression }} is not null)) as varchar), '[]')
{%- endmacro %}
{% macro spark__sorted_json_list(expression) -%}
to_json(array_sort(collect_set({{ expression }})))
{%- endmacro %}

{# Aggregate: the values of an expression, in the order of another, as an array (repeats kept). #}
{% macro ordered_list(expression, order_by, where=none) %}
    {{ return(adapter.dispatch('ordered_list', 'funnelhouse')(expression, order_by, where)) }}
{% endmacro %}
{% macro default__ordered_list(expression, order_by, where) -%}
list({{ expression }} order by {{ order_by }}){{ ' filter (where ' ~ where ~ ')' if where }}
{%- endmacro %}
{% macro spark__ordered_list(expression, order_by, where) -%}
transform(array_sort(collect_list(struct({{ order_by }}, {{ expression }} as listed)){{ ' filter (where ' ~ where ~ ')' if where }}), x -> x.listed)
{%- endmacro %}

{# The same as text holding a JSON array ('[]' where there is none). #}
{% macro ordered_json_list(expression, order_by, where=none) -%}
coalesce(cast(to_json({{ ordered_list(expression, order_by, where) }}) as {{ text_type() }}), '[]')
{%- endmacro %}

{# Aggregate: the same values as one readable text. #}
{% macro ordered_text(expression, order_by, separator=' > ') %}
    {{ return(adapter.dispatch('ordered_text', 'funnelhouse')(expression, order_by, separator)) }}
{% endmacro %}
{% macro default__ordered_text(expression, order_by, separator) -%}
string_agg({{ expression }}, '{{ separator }}' order by {{ order_by }})
{%- endmacro %}
{% macro spark__ordered_text(expression, order_by, separator) -%}
array_join(transform(array_sort(collect_list(struct({{ order_by }}, {{ expression }} as listed))), x -> x.listed), '{{ separator }}')
{%- endmacro %}

{# A struct of named values; as JSON an object with its keys in this order. #}
{% macro named_struct(fields) %}{{ return(adapter.dispatch('named_struct', 'funnelhouse')(fields)) }}{% endmacro %}
{% macro default__named_struct(fields) -%}
struct_pack({% for name, value in fields.items() %}{{ name }} := {{ value }}{% if not loop.last %}, {% endif %}{% endfor %})
{%- endmacro %}
{% macro spark__named_struct(fields) -%}
named_struct({% for name, value in fields.items() %}'{{ name }}', {{ value }}{% if not loop.last %}, {% endif %}{% endfor %})
{%- endmacro %}

{# What an array holds at a place, from 1; the values of an array that are not in another. #}
{% macro list_element(list, place) %}{{ return(adapter.dispatch('list_element', 'funnelhouse')(list, place)) }}{% endmacro %}
{% macro default__list_element(list, place) -%}list_extract({{ list }}, {{ place }}){%- endmacro %}
{% macro spark__list_element(list, place) -%}element_at({{ list }}, cast({{ place }} as int)){%- endmacro %}
{% macro list_without(list, other) %}{{ return(adapter.dispatch('list_without', 'funnelhouse')(list, other)) }}{% endmacro %}
{% macro default__list_without(list, other) -%}
list_filter({{ list }}, lambda one: not list_contains({{ other }}, one))
{%- endmacro %}
{% macro spark__list_without(list, other) -%}array_except({{ list }}, {{ other }}){%- endmacro %}

{% macro digest_md5(expression) -%}md5({{ expression }}){%- endmacro %}
{% macro digest_sha256(expression) %}
    {{ return(adapter.dispatch('digest_sha256', 'funnelhouse')(expression)) }}
{% endmacro %}
{% macro default__digest_sha256(expression) -%}sha256({{ expression }}){%- endmacro %}
{% macro spark__digest_sha256(expression) -%}sha2({{ expression }}, 256){%- endmacro %}

{# md5 of the parts: null-safe, joined with a separator that cannot occur in them. #}
{% macro surrogate_key(parts) -%}
md5(
    {%- for part in parts -%}
    coalesce(cast({{ part }} as {{ text_type() }}), chr(30)){% if not loop.last %} || chr(31) || {% endif %}
    {%- endfor -%}
)
{%- endmacro %}

{# A UTC timestamp's wall clock in a time zone (a column or a quoted literal). #}
{% macro from_utc(timestamp, time_zone) %}
    {{ return(adapter.dispatch('from_utc', 'funnelhouse')(timestamp, time_zone)) }}
{% endmacro %}
{% macro default__from_utc(timestamp, time_zone) -%}
timezone({{ time_zone }}, timezone('UTC', {{ timestamp }}))
{%- endmacro %}
{% macro spark__from_utc(timestamp, time_zone) -%}from_utc_timestamp({{ timestamp }}, {{ time_zone }}){%- endmacro %}

{# A wall clock in a time zone as zone-less UTC. #}
{% macro to_utc(timestamp, time_zone) %}
    {{ return(adapter.dispatch('to_utc', 'funnelhouse')(timestamp, time_zone)) }}
{% endmacro %}
{% macro default__to_utc(timestamp, time_zone) -%}
timezone('UTC', timezone({{ time_zone }}, {{ timestamp }}))
{%- endmacro %}
{% macro spark__to_utc(timestamp, time_zone) -%}to_utc_timestamp({{ timestamp }}, {{ time_zone }}){%- endmacro %}

{# The two ways in which a timestamp becomes a date: in the reporting time zone, or in an account's own. #}
{% macro reporting_date(timestamp) -%}
cast({{ from_utc(timestamp, "'" ~ var('reporting_time_zone') ~ "'") }} as date)
{%- endmacro %}
{% macro account_date(timestamp, time_zone) -%}
cast({{ from_utc(timestamp, "coalesce(" ~ time_zone ~ ", '" ~ var('reporting_time_zone') ~ "')") }} as date)
{%- endmacro %}

{# Elapsed time between two timestamps, as double, sub-seconds included; negative where `later` is earlier. #}
{% macro seconds_between(earlier, later) %}
    {{ return(adapter.dispatch('seconds_between', 'funnelhouse')(earlier, later)) }}
{% endmacro %}
{% macro default__seconds_between(earlier, later) -%}
(cast(epoch_us({{ later }}) - epoch_us({{ earlier }}) as double) / 1000000.0)
{%- endmacro %}
{% macro spark__seconds_between(earlier, later) -%}
(cast(unix_micros({{ later }}) - unix_micros({{ earlier }}) as double) / 1000000.0)
{%- endmacro %}
{% macro hours_between(earlier, later) -%}
({{ seconds_between(earlier, later) }} / 3600.0)
{%- endmacro %}
{% macro days_between(earlier, later) -%}
({{ seconds_between(earlier, later) }} / 86400.0)
{%- endmacro %}

{# Elapsed months of average length (30.4375 days), as double. #}
{% macro months_between(earlier, later) -%}
({{ seconds_between(earlier, later) }} / 2629800.0)
{%- endmacro %}

{# Whole days between two dates, as bigint. #}
{% macro date_diff_days(earlier, later) %}
    {{ return(adapter.dispatch('date_diff_days', 'funnelhouse')(earlier, later)) }}
{% endmacro %}
{% macro default__date_diff_days(earlier, later) -%}
cast(date_diff('day', cast({{ earlier }} as date), cast({{ later }} as date)) as bigint)
{%- endmacro %}
{% macro spark__date_diff_days(earlier, later) -%}
cast(datediff(cast({{ later }} as date), cast({{ earlier }} as date)) as bigint)
{%- endmacro %}

{# Whole calendar months between two dates (first of month to first of month), as bigint. #}
{% macro date_diff_months(earlier, later) -%}
cast(
    (extract(year from {{ later }}) - extract(year from {{ earlier }})) * 12
    + extract(month from {{ later }}) - extract(month from {{ earlier }}) as bigint
)
{%- endmacro %}

{# A date moved by a whole number of days (any integer expression), and by whole months. #}
{% macro add_days(date, days) %}{{ return(adapter.dispatch('add_days', 'funnelhouse')(date, days)) }}{% endmacro %}
{% macro default__add_days(date, days) -%}
cast(cast({{ date }} as date) + cast({{ days }} as integer) as date)
{%- endmacro %}
{% macro spark__add_days(date, days) -%}date_add({{ date }}, cast({{ days }} as int)){%- endmacro %}
{% macro add_months(date, months) %}
    {{ return(adapter.dispatch('add_months', 'funnelhouse')(date, months)) }}
{% endmacro %}
{% macro default__add_months(date, months) -%}
cast(cast({{ date }} as date) + to_months(cast({{ months }} as integer)) as date)
{%- endmacro %}
{% macro spark__add_months(date, months) -%}add_months({{ date }}, cast({{ months }} as int)){%- endmacro %}

{# A timestamp moved by any number of seconds (an expression; may be fractional or negative). #}
{% macro add_seconds(timestamp, seconds) %}
    {{ return(adapter.dispatch('add_seconds', 'funnelhouse')(timestamp, seconds)) }}
{% endmacro %}
{% macro default__add_seconds(timestamp, seconds) -%}
({{ timestamp }} + to_microseconds(cast(({{ seconds }}) * 1000000 as bigint)))
{%- endmacro %}
{% macro spark__add_seconds(timestamp, seconds) -%}
timestamp_micros(unix_micros({{ timestamp }}) + cast(({{ seconds }}) * 1000000 as bigint))
{%- endmacro %}

{# A select of one row per day, column date_day, both ends included; ends are SQL dates (scalars). #}
{% macro day_spine(first, last) %}{{ return(adapter.dispatch('day_spine', 'funnelhouse')(first, last)) }}{% endmacro %}
{% macro default__day_spine(first, last) -%}
select cast(days.day_at as date) as date_day
from (
    select unnest(generate_series(cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval 1 day)) as day_at
) as days
{%- endmacro %}
{% macro spark__day_spine(first, last) -%}
select explode(sequence(cast({{ first }} as date), cast({{ last }} as date), interval 1 day)) as date_day
{%- endmacro %}

{# A select of one row per whole number, column n, both ends included; ends are SQL integers (scalars). #}
{% macro number_spine(first, last) %}{{ return(adapter.dispatch('number_spine', 'funnelhouse')(first, last)) }}{% endmacro %}
{% macro default__number_spine(first, last) -%}
select cast(numbers.n as bigint) as n
from (select unnest(generate_series(cast({{ first }} as bigint), cast({{ last }} as bigint))) as n) as numbers
{%- endmacro %}
{% macro spark__number_spine(first, last) -%}
select explode(sequence(cast({{ first }} as bigint), cast({{ last }} as bigint))) as n
{%- endmacro %}

{# One row per day from a column to another, both included (first <= last): use in the select list of its own CTE. #}
{% macro explode_days(first, last) %}{{ return(adapter.dispatch('explode_days', 'funnelhouse')(first, last)) }}{% endmacro %}
{% macro default__explode_days(first, last) -%}
cast(unnest(generate_series(cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval 1 day)) as date)
{%- endmacro %}
{% macro spark__explode_days(first, last) -%}
explode(sequence({{ first }}, {{ last }}, interval 1 day))
{%- endmacro %}

{# Monday 1 to Sunday 7. #}
{% macro iso_weekday(date) %}{{ return(adapter.dispatch('iso_weekday', 'funnelhouse')(date)) }}{% endmacro %}
{% macro default__iso_weekday(date) -%}cast(isodow({{ date }}) as bigint){%- endmacro %}
{% macro spark__iso_weekday(date) -%}cast(weekday({{ date }}) + 1 as bigint){%- endmacro %}

{# First day of a period_grain (week, month, fiscal_quarter) that holds a date. #}
{% macro period_start(grain, date) -%}
{%- if grain == 'week' -%}
cast(date_trunc('week', {{ date }}) as date)
{%- elif grain == 'month' -%}
cast(date_trunc('month', {{ date }}) as date)
{%- elif grain == 'fiscal_quarter' -%}
{{ fiscal_quarter_start(date) }}
{%- else -%}
{{ exceptions.raise_compiler_error("period_start: unknown grain '" ~ grain ~ "'") }}
{%- endif -%}
{%- endmacro %}
{% macro fiscal_quarter_start(date) -%}
{%- set shift = (var('fiscal_year_start_month') | int) - 1 -%}
{{ add_months("date_trunc('quarter', " ~ add_months(date, -shift) ~ ")", shift) }}
{%- endmacro %}

{# Quotient as double; NULL where the divisor is 0 or NULL. #}
{% macro safe_divide(numerator, denominator) -%}
(cast({{ numerator }} as double) / nullif(cast({{ denominator }} as double), 0))
{%- endmacro %}

{# The order for min_by and max_by where the first expression may tie: the next ones decide. #}
{% macro ordered_by(expressions) %}
    {{ return(adapter.dispatch('ordered_by', 'funnelhouse')(expressions)) }}
{% endmacro %}
{% macro default__ordered_by(expressions) -%}row({{ expressions | join(', ') }}){%- endmacro %}
{% macro spark__ordered_by(expressions) -%}struct({{ expressions | join(', ') }}){%- endmacro %}

{# Aggregate: several percentiles (interpolated) as one list, for which the values are gathered once. #}
{% macro percentiles(expression, fractions) %}
    {{ return(adapter.dispatch('percentiles', 'funnelhouse')(expression, fractions)) }}
{% endmacro %}
{% macro default__percentiles(expression, fractions) -%}
quantile_cont({{ expression }}, [{{ fractions | join(', ') }}])
{%- endmacro %}
{% macro spark__percentiles(expression, fractions) -%}
percentile({{ expression }}, array({{ fractions | join(', ') }}))
{%- endmacro %}

{# Window function: the last value up to here that is not NULL; put `over (…)` behind it. #}
{% macro last_known(expression) %}{{ return(adapter.dispatch('last_known', 'funnelhouse')(expression)) }}{% endmacro %}
{% macro default__last_known(expression) -%}last_value({{ expression }} ignore nulls){%- endmacro %}
{% macro spark__last_known(expression) -%}last_value({{ expression }}, true){%- endmacro %}

{# A double as money. Sums of doubles depend on the order of the rows in their last digits, and an amount that lies
   on half a unit would fall either way from run to run: the noise is rounded away first. #}
{% macro to_money(double_expression) -%}
cast(round({{ double_expression }}, 8) as decimal(19, 4))
{%- endmacro %}

{# Does a text match a regular expression anywhere (RE2 and Java agree on what the seeds use)? NULL counts as ''. #}
{% macro regex_matches(text, pattern) %}
    {{ return(adapter.dispatch('regex_matches', 'funnelhouse')(text, pattern)) }}
{% endmacro %}
{% macro default__regex_matches(text, pattern) -%}regexp_matches(coalesce({{ text }}, ''), {{ pattern }}){%- endmacro %}
{% macro spark__regex_matches(text, pattern) -%}(coalesce({{ text }}, '') rlike {{ pattern }}){%- endmacro %}
{# The first group of the first match; NULL where nothing matches. #}
{% macro regex_extract(text, pattern, group=1) -%}
nullif(regexp_extract({{ text }}, {{ pattern }}, {{ group }}), '')
{%- endmacro %}

{# Host of a URL, lower case, without "www." and port; NULL where there is none. #}
{% macro url_host(url) -%}
nullif(regexp_replace(lower(regexp_extract({{ url }}, '^[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#:]+)', 1)), '^www[.]', ''), '')
{%- endmacro %}
{# Path of a URL, at least "/"; NULL where the URL is NULL. #}
{% macro url_path(url) -%}
case
    when {{ url }} is not null
        then coalesce(nullif(regexp_extract({{ url }}, '^(?:[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]+)?(/[^?#]*)', 1), ''), '/')
end
{%- endmacro %}
{# Value of one query parameter, decoded; NULL where absent or empty. #}
{% macro url_parameter(url, name) -%}
nullif(url_decode(replace(regexp_extract({{ url }}, '[?&]{{ name }}=([^&#]*)', 1), '+', ' ')), '')
{%- endmacro %}

{#
How names of campaigns are compared: their words in alphabetical order, lower case, whatever stands between them. A hyphen
parts words; with joined_hyphens it joins them ("Non-brand" is then "nonbrand").
#}
{% macro matching_name(text, joined_hyphens=false) -%}
    {%- set words = "replace(lower(" ~ text ~ "), '-', '')" if joined_hyphens else "lower(" ~ text ~ ")" -%}
    {{ return(adapter.dispatch('matching_name', 'funnelhouse')(words)) }}
{%- endmacro %}
{% macro default__matching_name(words) -%}
nullif(trim(array_to_string(list_sort(string_split_regex({{ words }}, '[^\p{L}\p{N}]+')), ' ')), '')
{%- endmacro %}
{% macro spark__matching_name(words) -%}
nullif(trim(array_join(array_sort(split({{ words }}, '[^\\p{L}\\p{N}]+')), ' ')), '')
{%- endmacro %}

{#
Aggregate: a sum of doubles that does not depend on the order of the rows, which the last digits of a plain one do (and
with them a rounded amount now and then). Eighteen decimals; NULL over nothing, as sum().
#}
{% macro exact_sum(expression) -%}
cast(sum(cast({{ expression }} as decimal(38, 18))) as double)
{%- endmacro %}
