-- No orphan persons: whoever is in a fact is in dim_persons, also after merges and splits.
select
    'fct_sessions' as fact,
    person_id
from {{ ref('fct_sessions') }}
where person_id not in (select persons.person_id from {{ ref('dim_persons') }} as persons)
union all
select
    'fct_touchpoints' as fact,
    person_id
from {{ ref('fct_touchpoints') }}
where person_id not in (select persons.person_id from {{ ref('dim_persons') }} as persons)
