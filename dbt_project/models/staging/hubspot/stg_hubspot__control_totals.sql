{{ config(enabled=provides('hubspot', 'control_totals')) }}

{{ crm_control_totals('hubspot', [
    ('crm_contacts', 'created_at'),
    ('crm_accounts', 'created_at'),
    ('crm_opportunities', 'created_at'),
    ('crm_stage_history', 'changed_at'),
    ('crm_activities', 'occurred_at'),
]) }}
