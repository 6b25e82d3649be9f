{# Answers to surveys, with who gave them: by e-mail, else by the only CRM contact that has the id. #}
with responses as (
    select * from {{ ref('int_survey_responses_unioned') }}
    where occurred_at <= {{ as_of() }}
),

contacts as (
    select
        contacts.source_record_id,
        max(identity_map.person_id) as person_id
    from {{ ref('int_contacts') }} as contacts
    inner join {{ ref('int_identity_map') }} as identity_map
        on
            identity_map.identifier_type = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
            and identity_map.identifier = contacts.source_record_id
    group by contacts.source_record_id
    having count(*) = 1
),

resolved as (
    select
        responses.*,
        coalesce(by_email.person_id, contacts.person_id) as person_id
    from responses
    left join {{ ref('int_identity_map') }} as by_email
        on
            by_email.identifier_type = {{ identifier_type('email') }}
            and responses.email_hash = by_email.identifier
    left join contacts on responses.contact_id = contacts.source_record_id
)

select
    {{ surrogate_key(['resolved.source_relation', 'resolved.response_id']) }} as survey_response_id,
    resolved.occurred_at,
    {{ reporting_date('resolved.occurred_at') }} as occurred_on,
    resolved.person_id,
    coalesce(members.account_id, resolved.person_id) as customer_id,
    lower(trim(resolved.survey)) as survey,
    resolved.score,
    nullif(trim(resolved.answer), '') as answer,
    case
        when resolved.score <= survey_types.detractor_max then 'detractor'
        when resolved.score >= survey_types.promoter_min then 'promoter'
        when resolved.score is not null and survey_types.survey is not null then 'passive'
    end as opinion
from resolved
left join {{ ref('int_person_accounts') }} as members on resolved.person_id = members.person_id
left join {{ ref('survey_types') }} as survey_types on lower(trim(resolved.survey)) = survey_types.survey
