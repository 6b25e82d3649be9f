{{ union_canonical('survey_responses') }}
