{{ config(enabled=provides('files', 'crm_stage_history')) }}

{{ filed_records('files', 'crm_stage_history') }}
