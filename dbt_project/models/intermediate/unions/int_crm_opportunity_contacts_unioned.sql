{{ union_canonical('crm_opportunity_contacts') }}
