{{ union_canonical('crm_activities') }}
