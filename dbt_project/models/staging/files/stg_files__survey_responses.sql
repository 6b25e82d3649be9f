{{ config(enabled=provides('files', 'survey_responses')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, response_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'survey_responses') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('survey_responses', 'final', provided=[
    'response_id',
    'occurred_at',
    'email_hash',
    'email_domain',
    'contact_id',
    'survey',
    'score',
    'answer',
]) }}
