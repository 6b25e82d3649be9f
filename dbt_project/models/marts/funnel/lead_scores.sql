{#
Rules of the seeds lead_score_rules and qualification_fields over what is known of a CRM person, in one long form: source,
field, value, and the moment of what happened. What can be named stands in macro lead_score_sources. Touches without
consent, of machines, and unanswered ones score nothing.
#}
{% set no_time = 'cast(null as timestamp)' %}

with persons as (
    select * from {{ ref('dim_persons') }}
    where contact_id is not null and not is_internal
),

contacts as (
    select * from {{ ref('int_contacts') }}
),

accounts as (
    select * from {{ ref('dim_accounts') }}
),

customers as (
    select customer_id
    from {{ ref('dim_customers') }}
),

free_mail_domains as (
    select * from {{ ref('free_mail_domains') }}
),

rules as (
    select * from {{ ref('lead_score_rules') }}
),

qualification_fields as (
    select * from {{ ref('qualification_fields') }}
),

touchpoints as (
    select
        touchpoint_id,
        person_id,
        occurred_at,
        touchpoint_type,
        channel
    from {{ ref('fct_touchpoints') }}
    where coalesce(ineligible_reason, 'part of a visit') = 'part of a visit' and occurred_at <= {{ as_of() }}
),

conversions as (
    select
        conversion_id,
        person_id,
        converted_at,
        conversion_type
    from {{ ref('fct_conversions') }}
),

account_roles as (
    select distinct
        opportunities.account_id,
        opportunity_persons.role
    from {{ ref('int_opportunity_persons') }} as opportunity_persons
    inner join {{ ref('int_opportunities') }} as opportunities
        on opportunity_persons.opportunity_id = opportunities.opportunity_id
    where opportunity_persons.role is not null and opportunities.account_id is not null
),

leads as (
    select
        persons.person_id,
        persons.contact_id,
        persons.account_id,
        customers.customer_id is not null as is_customer,
        persons.first_touch_channel,
        persons.country,
        contacts.owner_id,
        contacts.lifecycle_stage,
        contacts.lead_status,
        contacts.job_title,
        contacts.original_source,
        contacts.attributes,
        contacts.created_at,
        contacts.source_relation,
        contacts.source_record_id,
        case
            when contacts.email_domain is null then null
            when free_mail_domains.email_domain is null then 'business'
            else 'free'
        end as email_kind
    from persons
    inner join contacts on persons.contact_id = contacts.contact_id
    left join customers on coalesce(persons.account_id, persons.person_id) = customers.customer_id
    left join free_mail_domains on contacts.email_domain = free_mail_domains.email_domain
),

attribute_pairs as (
    select
        person_id,
        {{ explode_list(json_pairs('attributes')) }} as pair
    from leads
    where attributes is not null
),

observed as (
    {% for field in lead_score_sources()['contacts'] %}
    select
        person_id,
        'contacts' as source,
        '{{ field }}' as field,
        cast({{ field }} as {{ text_type() }}) as value,
        {{ no_time }} as occurred_at
    from leads
    where {{ field }} is not null
    union all
    {% endfor %}
    {% for field in lead_score_sources()['accounts'] %}
    select
        leads.person_id,
        'accounts' as source,
        '{{ field }}' as field,
        cast(accounts.{{ field }} as {{ text_type() }}) as value,
        {{ no_time }} as occurred_at
    from leads
    inner join accounts on leads.account_id = accounts.account_id
    where accounts.{{ field }} is not null
    union all
    {% endfor %}
    select
        person_id,
        'attributes' as source,
        pair.key as field,
        nullif(trim(pair.value), '') as value,
        {{ no_time }} as occurred_at
    from attribute_pairs
    union all
    select
        leads.person_id,
        'opportunity_roles' as source,
        'role' as field,
        account_roles.role as value,
        {{ no_time }} as occurred_at
    from leads
    inner join account_roles on leads.account_id = account_roles.account_id
    {% for field in lead_score_sources()['touchpoints'] %}
    union all
    select
        leads.person_id,
        'touchpoints' as source,
        '{{ field }}' as field,
        touchpoints.{{ field }} as value,
        touchpoints.occurred_at
    from leads
    inner join touchpoints on leads.person_id = touchpoints.person_id
    {% endfor %}
    union all
    select
        leads.person_id,
        'conversions' as source,
        'conversion_type' as field,
        conversions.conversion_type as value,
        conversions.converted_at as occurred_at
    from leads
    inner join conversions on leads.person_id = conversions.person_id
),

-- A rule counts once, or up to max_times.
matched as (
    select
        observed.person_id,
        rules.rule_id,
        rules.dimension,
        min(observed.occurred_at) as first_at,
        max(observed.occurred_at) as last_at,
        max(rules.points) * least(count(*), max(coalesce(rules.max_times, 1))) as points
    from observed
    inner join rules on observed.source = rules.source and observed.field = rules.field
    where
        {{ funnel_rule_matches('rules.operator', 'rules.value', 'observed.value') }}
        and (
            rules.within_days is null
            or {{ days_between('observed.occurred_at', as_of()) }} <= rules.within_days
        )
    group by observed.person_id, rules.rule_id, rules.dimension
),

scored as (
    select
        person_id,
        cast(sum(case when dimension = 'fit' then points else 0 end) as bigint) as fit_score,
        cast(sum(case when dimension = 'engagement' then points else 0 end) as bigint) as engagement_score,
        {% set reason = "concat(rule_id, ': ', cast(points as " ~ text_type() ~ "))" %}
        {{ sorted_json_list(reason) }} as reasons,
        min(case when dimension = 'engagement' then first_at end) as first_engaged_at,
        max(case when dimension = 'engagement' then last_at end) as last_engaged_at
    from matched
    group by person_id
),

framework_sizes as (
    select
        framework,
        count(distinct element) as elements
    from qualification_fields
    group by framework
),

answers as (
    select
        observed.person_id,
        qualification_fields.framework,
        qualification_fields.element,
        min(observed.value) as answer
    from observed
    inner join qualification_fields
        on
            observed.source = qualification_fields.source
            and observed.field = qualification_fields.field
    where
        {{ funnel_rule_matches(
            'qualification_fields.operator', 'qualification_fields.value', 'observed.value'
        ) }}
    group by observed.person_id, qualification_fields.framework, qualification_fields.element
),

qualified as (
    select
        answers.person_id,
        {% for framework in ['bant', 'champ', 'meddic'] %}
        {% set of_framework = "filter (where lower(answers.framework) = '" ~ framework ~ "')" %}
        count(*) {{ of_framework }} / max(cast(framework_sizes.elements as double)) {{ of_framework }}
            as {{ framework }}_completeness,
        {% endfor %}
        {{ sorted_json_list("concat(answers.framework, ' ', answers.element, ': ', answers.answer)") }}
            as qualification
    from answers
    inner join framework_sizes on answers.framework = framework_sizes.framework
    group by answers.person_id
)

select
    leads.person_id,
    leads.contact_id,
    leads.account_id,
    leads.owner_id,
    leads.lifecycle_stage,
    leads.lead_status,
    leads.first_touch_channel,
    leads.country,
    leads.is_customer,
    coalesce(scored.fit_score, 0) as fit_score,
    coalesce(scored.engagement_score, 0) as engagement_score,
    coalesce(scored.fit_score, 0) + coalesce(scored.engagement_score, 0) as lead_score,
    coalesce(
        scored.fit_score + scored.engagement_score >= {{ var('lead_hot_score') }}
        and {{ days_between('scored.last_engaged_at', as_of()) }} <= {{ var('lead_hot_engaged_days') }},
        false
    ) as is_hot,
    coalesce(scored.reasons, '[]') as reasons,
    scored.first_engaged_at,
    scored.last_engaged_at,
    {% for framework in ['bant', 'champ', 'meddic'] %}
    coalesce(qualified.{{ framework }}_completeness, 0.0) as {{ framework }}_completeness,
    {% endfor %}
    coalesce(qualified.qualification, '[]') as qualification,
    leads.created_at,
    leads.source_relation,
    leads.source_record_id,
    {{ crm_record_url('contact', 'leads.source_relation', 'leads.source_record_id') }} as crm_url
from leads
left join scored on leads.person_id = scored.person_id
left join qualified on leads.person_id = qualified.person_id
