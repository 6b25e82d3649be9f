with accounts as (
    select * from {{ ref('int_accounts') }}
),

persons as (
    select
        account_id,
        cast(count(*) as bigint) as persons,
        min(first_seen_at) as first_seen_at,
        min_by(first_touch_channel, {{ ordered_by(['first_seen_at', 'person_id']) }}) as first_touch_channel,
        bool_or(is_customer) as is_customer
    from {{ ref('dim_persons') }}
    where account_id is not null
    group by account_id
),

final as (
    select
        accounts.account_id,
        coalesce(accounts.name, '(not set)') as account_name,
        lower(accounts.domain) as domain,
        coalesce(accounts.industry, '(not set)') as industry,
        accounts.employee_count,
        coalesce(accounts.country, '(not set)') as country,
        accounts.owner_id,
        coalesce(accounts.is_partner, false) as is_partner,
        coalesce(persons.persons, 0) as persons,
        persons.first_seen_at,
        coalesce(persons.first_touch_channel, '(not set)') as first_touch_channel,
        coalesce(persons.is_customer, false) as has_buyer,
        accounts.created_at,
        accounts.updated_at,
        accounts.source_relation,
        accounts.source_record_id
    from accounts
    left join persons on accounts.account_id = persons.account_id
)

select
    account_id,
    account_name,
    domain,
    industry,
    employee_count,
    country,
    owner_id,
    is_partner,
    persons,
    first_seen_at,
    first_touch_channel,
    has_buyer,
    created_at,
    updated_at,
    source_relation,
    source_record_id
from final
