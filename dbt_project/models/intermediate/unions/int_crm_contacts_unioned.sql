{{ union_canonical('crm_contacts') }}
