{{ config(enabled=provides('files', 'crm_activities')) }}

{{ filed_records('files', 'crm_activities') }}
