{#
An amount in minor units as money: most currencies have cents, some have none, a few have thousandths. The lists are
those of the card networks' zero-decimal and three-decimal currencies; two without decimals (isk, ugx) come as
hundredths all the same.
#}
{% macro minor_units_as_money(minor_units, currency) -%}
cast({{ minor_units }} as decimal(18, 0)) * {{ minor_unit(currency) }}
{%- endmacro %}

{% macro minor_unit(currency) -%}
case
    when lower({{ currency }}) in (
        'bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg', 'rwf', 'vnd', 'vuv', 'xaf', 'xof', 'xpf'
    ) then cast(1 as decimal(4, 3))
    when lower({{ currency }}) in ('bhd', 'jod', 'kwd', 'omr', 'tnd') then cast(0.001 as decimal(4, 3))
    else cast(0.01 as decimal(4, 3))
end
{%- endmacro %}
