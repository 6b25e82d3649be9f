{{ config(enabled=provides('mailchimp', 'control_totals')) }}

-- Rows per day as staged, and the vendor's own totals of each campaign, on the day of its sending.
with reports as (
    select * from {{ source('raw_mailchimp', 'reports') }}
),

events as (
    select
        source_relation,
        cast(occurred_at as date) as date,
        count(*) as total,
        max(_load_id) as _dlt_load_id
    from {{ ref('stg_mailchimp__email_events') }}
    group by source_relation, cast(occurred_at as date)
),

reported as (
    {% for measure, column in [
        ('reported_sent', 'emails_sent'),
        ('reported_opened', 'opens_total'),
        ('reported_clicked', 'clicks_total'),
        ('reported_bounced', 'coalesce(hard_bounces, 0) + coalesce(soft_bounces, 0)'),
        ('reported_unsubscribed', 'unsubscribed'),
        ('reported_complained', 'abuse_reports'),
    ] -%}
    select
        source_relation,
        '{{ measure }}' as measure,
        cast(send_time as date) as date,
        sum({{ column }}) as total,
        max(_dlt_load_id) as _dlt_load_id
    from reports
    where send_time is not null
    group by source_relation, cast(send_time as date)
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
),

final as (
    select source_relation, 'rows' as measure, date, total, _dlt_load_id, null as _slice
    from events
    union all
    select source_relation, measure, date, total, _dlt_load_id, null as _slice
    from reported
)

{{ conform('control_totals', 'final', provided={
    'entity': "'email_events'",
    'measure': 'measure',
    'date': 'date',
    'total': 'coalesce(total, 0)',
}) }}
