-- Identifiers of records that are new, changed or gone, in their old and their new version: whatever edge
-- changes has both its ends here.
with changed_web_events as (
    select * from {{ ref('int_changed_web_events') }}
),

changed_email_events as (
    select * from {{ ref('int_changed_email_events') }}
),

register as (
    {{ differing_rows(ref('int_identity_register_candidates'), 'int_identity_register', record_columns()) }}
),

found as (
    {{ identifiers_of_records('register') }}
    union all
    select
        {{ identifier_type('cookie') }} as identifier_type,
        anonymous_id as identifier
    from changed_web_events
    union all
    select
        'user_id' as identifier_type,
        user_id as identifier
    from changed_web_events
    union all
    select
        'email' as identifier_type,
        email_hash as identifier
    from changed_web_events
    union all
    select
        'email' as identifier_type,
        recipient_email_hash as identifier
    from changed_email_events
    union all
    select
        {{ identifier_type('email_subscriber') }} as identifier_type,
        subscriber_id as identifier
    from changed_email_events
),

changes as (
    select distinct
        identifier_type,
        identifier
    from found
    where identifier is not null
),

final as (
    select identifier_type, identifier from changes
    union
    {{ carried_over(['identifier_type', 'identifier']) }}
)

select
    identifier_type,
    identifier,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
