{{ config(enabled=provides('hubspot', 'crm_contacts')) }}

-- Where one place is for one linked record: the primary one, else the oldest (the smallest number).
with links as (
    select * from {{ ref('stg_hubspot__links') }}
),

ranked as (
    select
        source_relation,
        from_type,
        from_id,
        to_type,
        to_id,
        row_number() over (
            partition by source_relation, from_type, from_id, to_type
            order by case when is_primary then 0 else 1 end, length(to_id), to_id
        ) as place
    from links
)

select
    source_relation,
    from_type,
    from_id,
    max(case when to_type = 'contacts' then to_id end) as contact_id,
    max(case when to_type = 'companies' then to_id end) as company_id,
    max(case when to_type = 'deals' then to_id end) as deal_id
from ranked
where place = 1
group by source_relation, from_type, from_id
