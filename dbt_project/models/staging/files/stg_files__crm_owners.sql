{{ config(enabled=provides('files', 'crm_owners')) }}

{{ filed_records('files', 'crm_owners') }}
