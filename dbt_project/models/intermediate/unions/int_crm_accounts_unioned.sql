{{ union_canonical('crm_accounts') }}
