"""Where on AWS the template can be deployed, by what CloudFormation knows in each region.

`cargo xtask test --only template` runs it with the Python that cfn-lint is installed for, whose tables it reads. A resource that some
region lacks must be one that a stack can do without: it fails where such a resource has no condition on mail.
"""

import json
import os
import sys
import textwrap

from cfnlint.decode.decode import decode
from cfnlint.helpers import REGIONS
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from samtranslator.translator.transform import transform

# As wide as every terminal is.
COLUMNS = 80
# The parameter that has to be set for a condition to hold.
ASKED_FOR_BY = {
    "SendsMail": "MailDomain",
    "VerifiesMailDomain": "MailDomain",
    "ReceivesMail": "ReceiveMail",
    "ReceivesMailOnAws": "ReceiveMail",
}


def resources(path):
    """The resources of the template as SAM transforms it."""
    template, faults = decode(path)
    if faults:
        sys.exit(f"{path}: {faults}")
    template = json.loads(json.dumps(template))
    # SAM takes code from buckets alone; what a resource is does not depend on it.
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    # It asks boto3 for a region, of which only the partition counts.
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    return transform(template, {}, NoManagedPolicies())["Resources"]


class NoManagedPolicies:
    """Asks IAM for no managed policies: this template names none."""

    def load(self):
        return {}


def main(path):
    lacking, faults = {}, []
    known = {region: set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region)) for region in REGIONS}
    for name, resource in resources(path).items():
        without = sorted(region for region, kinds in known.items() if resource["Type"] not in kinds)
        if not without:
            continue
        parameter = ASKED_FOR_BY.get(resource.get("Condition"))
        if parameter is None:
            faults.append(f"{name}: {resource['Type']} does not exist in {', '.join(without)}, and no parameter leaves it out")
        else:
            lacking.setdefault(parameter, set()).update(without)
    for parameter, without in sorted(lacking.items()):
        told = f"{parameter} cannot be used in {len(without)} of {len(REGIONS)} regions: {', '.join(sorted(without))}"
        print(textwrap.fill(told, COLUMNS, break_on_hyphens=False, subsequent_indent="  "))
    for fault in faults:
        print(fault)
    # No region lacks nothing: then the tables were not read.
    return 1 if faults or not lacking else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
