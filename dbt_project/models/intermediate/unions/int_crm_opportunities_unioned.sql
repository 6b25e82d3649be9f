{{ union_canonical('crm_opportunities') }}
