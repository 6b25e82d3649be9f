{{ config(enabled=provides('salesforce', 'control_totals')) }}

{{ crm_control_totals('salesforce', [
    ('crm_contacts', 'created_at'),
    ('crm_accounts', 'created_at'),
    ('crm_opportunities', 'created_at'),
    ('crm_opportunity_contacts', 'added_at'),
    ('crm_stage_history', 'changed_at'),
    ('crm_activities', 'occurred_at'),
    ('offline_touches', 'occurred_at'),
]) }}
