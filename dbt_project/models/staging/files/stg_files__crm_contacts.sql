{{ config(enabled=provides('files', 'crm_contacts')) }}

{{ filed_records('files', 'crm_contacts') }}
