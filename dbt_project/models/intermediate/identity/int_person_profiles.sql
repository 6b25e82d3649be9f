-- depends_on: {{ ref('int_changed_profiles') }}
select
    person_id,
    contact_id,
    email_domain,
    contact_country,
    revenue_country,
    job_title,
    lifecycle_stage,
    owner_id,
    self_reported_source,
    is_customer
from {{ ref('int_person_profile_candidates') }}
