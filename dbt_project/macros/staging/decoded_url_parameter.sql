{#
One decoded parameter of a URL, NULL where absent or empty. The position test comes first: most URLs have no
parameter at all, and it costs a tenth of the regular expression.
#}
{% macro decoded_url_parameter(url, name) -%}
case
    when {{ url }} like '%{{ name }}=%'
        then nullif(url_decode(replace({{ url_parameter(url, name) }}, '+', ' ')), '')
end
{%- endmacro %}
