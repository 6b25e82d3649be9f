{{ union_canonical('crm_stage_history') }}
