//! Making launch templates.

use aws_sdk_ec2::operation::create_launch_template::builders::CreateLaunchTemplateFluentBuilder;
use aws_sdk_ec2::types as ec2;

use crate::cloud::CloudReader;
use crate::cloud::error::{CloudError, ErrorKind};
use crate::observed::resources::{AmiSpec, TemplateSpec};
use crate::time::Span;

use super::errors::{not_ours, own};
use super::request::{client_token, ec2_filter, ec2_tags, template_data};
use super::{AwsCloud, Bucket, convert};

const CREATE: &str = "CreateLaunchTemplate";
const IMAGES: &str = "DescribeImages";

/// The most bytes of user data before they are encoded.
/// Source: EC2 user guide; EC2 itself says so only when a machine is launched.
const USER_DATA_BYTES: usize = 16 * 1024;

/// An answer that says the template was made longer ago than this is not about this call.
const FRESH: Span = Span::from_mins(2);

/// An image and the device that it boots from.
struct Image {
    id: String,
    root_device: Option<String>,
}

impl AwsCloud {
    pub(super) async fn make_template(&self, spec: &TemplateSpec) -> Result<(), CloudError> {
        let name = spec.name.as_str();
        if spec.user_data.len() > USER_DATA_BYTES {
            let message = format!("the boot script has {} bytes; EC2 takes {USER_DATA_BYTES}", spec.user_data.len());
            return Err(own(CREATE, name, ErrorKind::Invalid, message));
        }
        let image = self.image(spec).await?;
        let data = template_data(spec, &image.id, image.root_device.as_deref());
        let token = client_token(spec, &image.id);
        match self.send_template(self.template_call(spec, data.clone()).client_token(token), name).await {
            Ok(true) => Ok(()),
            // The answer to an earlier request with this token, replayed. The template that
            // it tells of may have been deleted since.
            Ok(false) => match self.adopt_template(spec).await {
                Err(error) if error.kind == ErrorKind::Conflict => {
                    self.send_template(self.template_call(spec, data), name).await.map(|_| ())
                }
                other => other,
            },
            Err(error) if is_taken(&error) => self.adopt_template(spec).await,
            Err(error) => Err(error),
        }
    }

    fn template_call(
        &self,
        spec: &TemplateSpec,
        data: ec2::RequestLaunchTemplateData,
    ) -> CreateLaunchTemplateFluentBuilder {
        let tags = ec2::TagSpecification::builder()
            .resource_type(ec2::ResourceType::LaunchTemplate)
            .set_tags(Some(ec2_tags(&spec.tags)))
            .build();
        let call = self.ec2.create_launch_template().launch_template_name(spec.name.as_str());
        call.launch_template_data(data).tag_specifications(tags)
    }

    /// Whether the answer is about a template that was made now.
    async fn send_template(&self, call: CreateLaunchTemplateFluentBuilder, name: &str) -> Result<bool, CloudError> {
        let answer = self.call(Bucket::Ec2Write, CREATE, name, call.send()).await?;
        for warning in answer.warning().map(|warning| warning.errors()).unwrap_or_default() {
            tracing::warn!(name, code = warning.code(), message = warning.message(), "launch template with a warning");
        }
        let created = answer.launch_template().and_then(|template| convert::template(template).ok());
        Ok(created.is_none_or(|template| self.now().since(template.created) < FRESH))
    }

    /// Takes over a template of that name if its tags say that it is this release's.
    async fn adopt_template(&self, spec: &TemplateSpec) -> Result<(), CloudError> {
        let name = spec.name.as_str();
        let found = self.list_templates(name, vec![ec2_filter("launch-template-name", name)]).await?;
        match found.iter().find(|template| template.name == name) {
            Some(template) if super::writer::same_release(&template.tags, &spec.tags) => Ok(()),
            Some(template) => Err(not_ours(CREATE, name, format!("{} has this name and other tags", template.id))),
            None => Err(own(CREATE, name, ErrorKind::Conflict, "the name is taken, but no template shows yet")),
        }
    }

    /// The image, looked up only where the template needs more than an id.
    async fn image(&self, spec: &TemplateSpec) -> Result<Image, CloudError> {
        let image = match &spec.ami {
            AmiSpec::Id(id) if spec.root_volume_gib.is_none() => {
                return Ok(Image { id: id.clone(), root_device: None });
            }
            AmiSpec::Id(id) => self.image_by_id(id).await?,
            AmiSpec::Name(pattern) => self.newest_image(pattern).await?,
        };
        if image.root_device.is_none() && spec.root_volume_gib.is_some() {
            let message = "the image doesn't say its root device, so its root volume can't be sized";
            return Err(own(IMAGES, &image.id, ErrorKind::Invalid, message));
        }
        Ok(image)
    }

    async fn image_by_id(&self, id: &str) -> Result<Image, CloudError> {
        let missing =
            || own(IMAGES, id, ErrorKind::Invalid, format!("there is no image {id} that this account may use"));
        let call = self.ec2.describe_images().image_ids(id).send();
        match self.call(Bucket::Ec2Read, IMAGES, id, call).await {
            Ok(answer) => {
                let found = answer.images().iter().find(|image| image.image_id() == Some(id));
                found.and_then(usable).ok_or_else(missing)
            }
            Err(error) if error.kind == ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(error),
        }
    }

    /// The newest image of the own account whose name matches.
    async fn newest_image(&self, pattern: &str) -> Result<Image, CloudError> {
        let call = self.ec2.describe_images().owners("self");
        let call = call.filters(ec2_filter("name", pattern)).filters(ec2_filter("state", "available"));
        let answer = self.call(Bucket::Ec2Read, IMAGES, pattern, call.send()).await?;
        // Creation dates are ISO 8601 in UTC with one length: their order is that of the text.
        let named = answer.images().iter().filter(|image| image.name().is_none_or(|name| matches(pattern, name)));
        let newest = named.max_by_key(|image| (image.creation_date(), image.image_id()));
        newest.and_then(usable).ok_or_else(|| {
            let message = format!("no available image of this account is named `{pattern}`");
            own(IMAGES, pattern, ErrorKind::Invalid, message)
        })
    }
}

/// Whether a name is one that a filter of EC2 finds: `*` is any text, `?` any character.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Which lengths of the name the pattern so far can stand for.
    let mut ends = vec![false; name.len() + 1];
    ends[0] = true;
    for wanted in pattern {
        let mut next = vec![false; name.len() + 1];
        for (end, known) in name.iter().enumerate() {
            next[end + 1] = ends[end] && (wanted == '?' || wanted == '*' || wanted == *known);
        }
        if wanted == '*' {
            let mut open = false;
            for (end, next) in next.iter_mut().enumerate() {
                open |= ends[end];
                *next = open;
            }
        }
        ends = next;
    }
    ends[name.len()]
}

fn usable(image: &ec2::Image) -> Option<Image> {
    Some(Image { id: image.image_id()?.to_owned(), root_device: image.root_device_name().map(str::to_owned) })
}

/// Source: seen in the sources of controllers; EC2 models no errors.
fn is_taken(error: &CloudError) -> bool {
    error.code.starts_with("InvalidLaunchTemplateName.AlreadyExists") || error.code == "IdempotentParameterMismatch"
}
