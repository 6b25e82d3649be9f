{# Which touches a conversion may credit: those of its scope (the account's persons or one person), from
   window_from (inclusive) to converted_at, and after cycle_from (exclusive), where the cycle before ended.
   Milestones that are not reached by then are NULL: the lead is the earliest-created contact of the person,
   or of the account's persons; deal and close are those of the conversion's own deal.
   window_hash changes with everything that fct_attribution takes from a conversion. #}
with
conversions as (
    select
        conversions.conversion_id,
        conversions.conversion_type,
        conversions.person_id,
        conversions.account_id,
        conversions.opportunity_id,
        conversions.converted_at,
        conversions.converted_on,
        conversions.anchor_at,
        conversions.value,
        types.anchor,
        case
            when types.touch_scope = 'account' and conversions.account_id is not null then 'account'
            else 'person'
        end as touch_scope,
        case
            when types.touch_scope = 'account' and conversions.account_id is not null
                then conversions.account_id
            else conversions.person_id
        end as scope_id
    from {{ ref('fct_conversions') }} as conversions
    inner join {{ ref('conversion_types') }} as types
        on conversions.conversion_type = types.conversion_type
),

-- Two conversions of one instant close the same cycle, so the cycle starts at the instant before theirs.
instants as (
    select
        conversion_type,
        scope_id,
        converted_at,
        lag(converted_at) over (partition by conversion_type, scope_id order by converted_at) as previous_at
    from (
        select distinct
            conversion_type,
            scope_id,
            converted_at
        from conversions
        where anchor = 'conversion' and scope_id is not null
    ) as distinct_instants
),

closed_deals as (
    select
        coalesce(account_id, person_id) as scope_id,
        closed_at
    from {{ ref('int_opportunities') }}
    where is_closed and closed_at is not null
),

closed_before as (
    select
        conversions.conversion_id,
        max(closed_deals.closed_at) as closed_at
    from conversions
    inner join closed_deals
        on
            conversions.scope_id = closed_deals.scope_id
            and conversions.anchor = 'opportunity_creation'
            and closed_deals.closed_at < conversions.anchor_at
    group by conversions.conversion_id
),

person_leads as (
    select
        identity_map.person_id,
        min(contacts.created_at) as created_at
    from {{ ref('int_contacts') }} as contacts
    inner join {{ ref('int_identity_map') }} as identity_map
        on
            identity_map.identifier_type = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
            and identity_map.identifier = contacts.source_record_id
    group by identity_map.person_id
),

leads as (
    select
        'person' as touch_scope,
        person_id as scope_id,
        created_at
    from person_leads
    union all
    select
        'account' as touch_scope,
        members.account_id as scope_id,
        min(person_leads.created_at) as created_at
    from person_leads
    inner join {{ ref('int_person_accounts') }} as members
        on person_leads.person_id = members.person_id
    group by members.account_id
),

final as (
    select
        conversions.*,
        case when leads.created_at <= conversions.converted_at then leads.created_at end as lead_created_at,
        case
            when
                conversions.anchor = 'opportunity_creation'
                and conversions.anchor_at <= conversions.converted_at
                then conversions.anchor_at
        end as opportunity_created_at,
        case when conversions.conversion_type = 'won' then conversions.converted_at end as closed_at,
        {{ add_seconds(
            'conversions.anchor_at',
            'cast(-86400 as double) * ' ~ lookback_days('conversions.conversion_type'),
        ) }}
            as window_from,
        case
            when {{ var('attribution_multi_cycle') }}
                then coalesce(instants.previous_at, closed_before.closed_at)
        end as cycle_from
    from conversions
    left join instants
        on
            conversions.conversion_type = instants.conversion_type
            and conversions.scope_id = instants.scope_id
            and conversions.converted_at = instants.converted_at
    left join closed_before
        on conversions.conversion_id = closed_before.conversion_id
    left join leads
        on conversions.touch_scope = leads.touch_scope and conversions.scope_id = leads.scope_id
)

select
    conversion_id,
    conversion_type,
    touch_scope,
    scope_id,
    window_from,
    cycle_from,
    converted_at,
    converted_on,
    lead_created_at,
    opportunity_created_at,
    closed_at,
    value,
    {{ surrogate_key([
        'conversion_type', 'touch_scope', 'scope_id', 'window_from', 'cycle_from', 'converted_at',
        'lead_created_at', 'opportunity_created_at', 'closed_at', 'value'
    ]) }} as window_hash
from final
