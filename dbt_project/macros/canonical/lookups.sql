{#
What belongs here: how models look things up that every subject needs: a person by an identifier, an exchange rate.
#}

{#
The namespaced type of an identifier in int_identity_map. User ids and e-mail hashes mean the same everywhere; cookies,
CRM contacts, e-mail subscribers and billing customers only within their source_relation.
#}
{% macro identifier_type(kind, source_relation='source_relation') -%}
{%- if kind in ['user_id', 'email'] -%}
'{{ kind }}'
{%- elif kind in ['cookie', 'crm_contact', 'email_subscriber', 'billing_customer'] -%}
'{{ kind }}:' || {{ source_relation }}
{%- else -%}
{{ exceptions.raise_compiler_error("identifier_type: unknown kind '" ~ kind ~ "'") }}
{%- endif -%}
{%- endmacro %}

{# An amount in the reporting currency: as it is, times the rate, or NULL where the rate is missing. #}
{% macro in_reporting_currency(amount, currency, rate='fx.rate') -%}
cast(
    case
        when upper({{ currency }}) = '{{ var("reporting_currency") }}' then {{ amount }}
        else cast({{ amount }} as decimal(19, 4)) * cast({{ rate }} as decimal(18, 8))
    end as decimal(19, 4)
)
{%- endmacro %}

{# The join that belongs to it: one rate per day and currency into the reporting currency (int_fx_rates). #}
{% macro fx_join(date, currency, alias='fx') -%}
left join {{ ref('int_fx_rates') }} as {{ alias }}
    on {{ alias }}.date = {{ date }} and {{ alias }}.currency_from = upper({{ currency }})
{%- endmacro %}
