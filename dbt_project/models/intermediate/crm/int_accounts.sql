with accounts as (
    select * from {{ ref('int_crm_accounts_unioned') }}
),

removals as (
    select * from {{ ref('int_crm_removals') }}
    where object_type = 'account'
),

final as (
    select
        {{ surrogate_key(['accounts.source_relation', 'accounts.account_id']) }} as account_id,
        accounts.name,
        accounts.domain,
        accounts.industry,
        accounts.employee_count,
        accounts.country,
        case
            when accounts.owner_id is not null
                then {{ surrogate_key(['accounts.source_relation', 'accounts.owner_id']) }}
        end as owner_id,
        coalesce(accounts.is_partner, false) as is_partner,
        accounts.created_at,
        accounts.updated_at,
        accounts.source_relation,
        accounts.account_id as source_record_id
    from accounts
    left join removals
        on
            accounts.source_relation = removals.source_relation
            and accounts.account_id = removals.source_record_id
    where removals.removed_id is null
)

select
    account_id,
    name,
    domain,
    industry,
    employee_count,
    country,
    owner_id,
    is_partner,
    created_at,
    updated_at,
    source_relation,
    source_record_id
from final
