"""The control API's own description, held against OpenAPI 3.1 by a validator of others."""

from common import expect, run
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError


def the_description_is_openapi_3_1(served):
    description = served.ask("GET", "/openapi.json")
    OpenAPIV31SpecValidator(description).validate()
    description["paths"]["/faults"]["get"]["responses"] = []
    expect(OpenAPIValidationError, lambda: OpenAPIV31SpecValidator(description).validate())


if __name__ == "__main__":
    run([the_description_is_openapi_3_1])
