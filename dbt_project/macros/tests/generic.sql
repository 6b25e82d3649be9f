{# What belongs here: the generic data tests that dbt does not bring. Each returns the offending rows. #}

{% test unique_combination(model, columns) %}
select {{ columns | join(', ') }}, count(*) as occurrences
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{% test not_negative(model, column_name) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} < 0
{% endtest %}

{% test accepted_range(model, column_name, min_value=none, max_value=none) %}
select {{ column_name }}
from {{ model }}
where
    1 = 0
    {% if min_value is not none %}or {{ column_name }} < {{ min_value }}{% endif %}
    {% if max_value is not none %}or {{ column_name }} > {{ max_value }}{% endif %}
{% endtest %}

{# Sum of a column equals the sum of another model's column, per group where given; filters are optional. #}
{% test sums_match(model, column_name, to, field, group_by=[], to_group_by=none, where=none, to_where=none, tolerance=0) %}
{% set groups = group_by or [] %}
{% set to_groups = to_group_by or groups %}
with mine as (
    select
        {% for g in groups %}{{ g }} as g{{ loop.index }}, {% endfor %}
        sum(cast({{ column_name }} as decimal(38, 4))) as total
    from {{ model }}
    {% if where %}where {{ where }}{% endif %}
    {% if groups %}group by {{ groups | join(', ') }}{% endif %}
),

theirs as (
    select
        {% for g in to_groups %}{{ g }} as g{{ loop.index }}, {% endfor %}
        sum(cast({{ field }} as decimal(38, 4))) as total
    from {{ to }}
    {% if to_where %}where {{ to_where }}{% endif %}
    {% if to_groups %}group by {{ to_groups | join(', ') }}{% endif %}
),

compared as (
    select
        {% for g in groups %}coalesce(mine.g{{ loop.index }}, theirs.g{{ loop.index }}) as g{{ loop.index }}, {% endfor %}
        coalesce(mine.total, 0) as mine_total,
        coalesce(theirs.total, 0) as theirs_total
    from mine
    full outer join theirs
        on {% for g in groups %}mine.g{{ loop.index }} = theirs.g{{ loop.index }}{% if not loop.last %} and {% endif %}{% endfor %}{% if not groups %}1 = 1{% endif %}
)

select * from compared
where abs(mine_total - theirs_total) > {{ tolerance }}
{% endtest %}

{# Every row satisfies a boolean expression (NULL counts as a failure). #}
{% test expression_is_true(model, expression, where=none) %}
select *
from {{ model }}
where
    not coalesce({{ expression }}, false)
    {% if where %}and ({{ where }}){% endif %}
{% endtest %}

{# Each row's columns point at a row of another model. NULLs are left out. #}
{% test references(model, columns, to, fields) %}
select {{ columns | join(', ') }}
from {{ model }} as mine
where
    {% for column in columns %}mine.{{ column }} is not null and {% endfor %}
    not exists (
        select 1
        from {{ to }} as other
        where {% for column in columns %}other.{{ fields[loop.index0] }} = mine.{{ column }}{% if not loop.last %} and {% endif %}{% endfor %}
    )
{% endtest %}
