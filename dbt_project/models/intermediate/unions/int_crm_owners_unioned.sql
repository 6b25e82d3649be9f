{{ union_canonical('crm_owners') }}
