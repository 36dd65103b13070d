//! Files of Wasmtime 3 and newer: what the commands do with them. They are no artifacts and only read.

use std::borrow::Cow;
use std::path::Path;

use artifact::compat;
use artifact::cwasm::{self, Cwasm, Document, Settings, Value};
use artifact::engine::{Engine, VersionRule, WASMTIME};
use artifact::error::{Error, Result as LibraryResult, Status, quote};
use artifact::format::trailer::Signature;
use artifact::report::Report;
use artifact::trust::keys::{PrivateKey, PublicKey};
use serde::Serialize;

use crate::facts::{Module, Section, Symbol};
use crate::failure::Failure;
use crate::input::{self, Input, OpenRules};
use crate::output::{CommandResult, Console, Style};
use crate::summary::{self, Bytes, FACT, SETTING, on_off};

/// A file of Wasmtime that a command reads.
pub struct Found<'i> {
    input: &'i Input<'i>,
    cwasm: Cwasm,
    /// The trusted key that signed it, if keys are trusted.
    signer: Option<PublicKey>,
}

/// Reads the file if Wasmtime 3 or newer wrote it. If keys are trusted, one of them must have signed it.
pub fn open<'i>(input: &'i Input<'i>, rules: &OpenRules) -> Result<Option<Found<'i>>, Failure> {
    let in_file = |error| Failure::in_file(input.path(), error);
    let read = Cwasm::read(&input.region()?);
    if !rules.require_signature() && rules.signature().is_empty() {
        return Ok(read.map_err(in_file)?.map(|cwasm| Found { input, cwasm, signer: None }));
    }
    if matches!(read, Ok(None)) {
        return Ok(None);
    }
    // What is used is what was signed: the settings are read again, from the same copy.
    let bytes = input.bytes()?;
    let signer = cwasm::signer((*bytes).as_ref(), &rules.trusted_keys(), rules.signature()).map_err(in_file)?;
    let cwasm = Cwasm::parse((*bytes).as_ref()).map_err(in_file)?;
    Ok(cwasm.map(|cwasm| Found { input, cwasm, signer }))
}

impl Found<'_> {
    fn in_file(&self) -> impl Fn(Error) -> Failure {
        |error| Failure::in_file(self.input.path(), error)
    }

    /// Rejects a file of another producer or version than an engine's.
    pub fn check_origin(&self, engine: Option<&Engine>) -> Result<(), Failure> {
        let version = self.cwasm.settings.version.as_bytes();
        let finding = engine.and_then(|engine| compat::origin(engine, WASMTIME, version));
        finding.map_or(Ok(()), |finding| Err(self.in_file()(finding.into())))
    }

    pub fn verify(&self) -> Result<Report, Failure> {
        cwasm::verify((*self.input.bytes()?).as_ref()).map_err(self.in_file())?;
        Ok(Report::default())
    }

    pub fn sign(&self, key: &PrivateKey) -> Result<Signature, Failure> {
        let bytes = self.input.bytes()?;
        let bytes = (*bytes).as_ref();
        // Do not sign a damaged file.
        let record = cwasm::verify(bytes).and_then(|()| cwasm::file_record(bytes));
        Ok(key.sign(&record.map_err(self.in_file())?))
    }

    pub fn check(&self, against: &Against, console: &mut Console) -> Result<Report, Failure> {
        let Against { engine, settings } = against;
        let version = self.cwasm.settings.version.as_bytes();
        let report = match settings {
            Some(settings) => {
                self.warn(console)?;
                self.cwasm.report_against(settings)
            }
            None => match engine {
                None => self.cwasm.report(&Engine::host()),
                Some(engine) => match compat::origin(engine, WASMTIME, version) {
                    Some(finding) => Ok(finding.into()),
                    None => self.cwasm.report(engine),
                },
            },
        };
        report.map_err(self.in_file())
    }

    /// Warns that tunables and features are unknown, if they are. That is no fault of the file.
    fn warn(&self, console: &mut Console) -> Result<(), Failure> {
        let Some(sentence) = self.cwasm.settings.unknown() else { return Ok(()) };
        let printed = console.warn(self.input.path(), Error::new(Status::Unsupported, sentence));
        printed.map_err(|error| Failure::io("write", Path::new("-"), &error))
    }

    pub fn inspect(&self, console: &mut Console, json: bool, symbols: bool) -> CommandResult {
        let bytes = self.input.bytes()?;
        let image = Module::of_file((*bytes).as_ref(), symbols).map_err(self.in_file())?;
        if json {
            let document = Document::new(self.cwasm.kind, &self.cwasm.settings);
            let signed_by = self.signer.as_ref().map(PublicKey::to_string);
            let (file_len, sections, symbols) = (self.cwasm.len, image.sections.as_deref(), image.symbols.as_ref());
            let symbols = symbols.map(|symbols| symbols.as_deref());
            console.json(&Facts { file_len, document, sections, symbols, signed_by })?;
        } else {
            self.print(console, &image)?;
        }
        self.warn(console)?;
        if let Some(error) = image.damage {
            console.error(&self.in_file()(error))?;
        }
        Ok(())
    }

    fn print(&self, out: &mut Console, image: &Module) -> std::io::Result<()> {
        let Cwasm { kind, len, settings, .. } = &self.cwasm;
        let title = format!("WebAssembly {} compiled by Wasmtime, {}", kind.name(), Bytes(*len));
        out.line(self.input.path(), &title, Style::Heading)?;
        let shown = |text: &str| if text.is_empty() { "none".into() } else { quote(text.as_bytes()).into_owned() };
        out.row(FACT, ["version", &shown(&settings.version)])?;
        out.row(FACT, ["target", &shown(&settings.target)])?;
        let signature = self.signer.as_ref().map_or("none".into(), |key| format!("key {key}, trusted"));
        out.row(FACT, ["signature", &signature])?;
        summary::image(out, image)?;
        summary::flags(out, "shared flags", &settings.shared_flags)?;
        summary::flags(out, "ISA flags", &settings.isa_flags)?;
        let Some(rest) = &settings.rest else { return out.heading("tunables and features: unknown") };
        out.heading("tunables:")?;
        for (field, value) in rest.tunables() {
            let value = match value {
                Value::Switch(on) => Cow::Borrowed(on_off(*on)),
                Value::Number(number) => number.to_string().into(),
                Value::Costs(costs) => format!("a table of {} costs", costs.len()).into(),
                _ => "none".into(),
            };
            out.row(SETTING, [field.name, &value])?;
        }
        let features = rest.features_on();
        out.heading(if features.is_empty() { "features: none" } else { "features:" })?;
        features.iter().try_for_each(|name| out.row(SETTING, [name, on_off(true)]))
    }
}

/// What `inspect --json` prints.
#[derive(Serialize)]
struct Facts<'a> {
    file_len: u64,
    #[serde(flatten)]
    document: Document<'a>,
    sections: Option<&'a [Section]>,
    /// Present only if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    symbols: Option<Option<&'a [Symbol]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
}

/// What `check` compares files with.
pub struct Against {
    /// The engine; none if only what code needs of this CPU counts, whoever made it.
    pub engine: Option<Engine>,
    /// The settings of an engine of Wasmtime 3 or newer.
    settings: Option<Settings>,
}

impl Against {
    pub fn this_cpu() -> Against {
        Against { engine: None, settings: None }
    }

    pub fn engine(engine: Engine) -> Against {
        Against { engine: Some(engine), settings: None }
    }

    pub fn read(path: &Path) -> Result<Against, Failure> {
        let (engine, settings) = input::parse(path, "engine in JSON", engine_from_json)?;
        Ok(Against { engine: Some(engine), settings })
    }
}

/// Reads an engine, or the settings of an engine of Wasmtime 3 or newer, which has its version and target.
pub fn engine_from_json(json: &str) -> LibraryResult<(Engine, Option<Settings>)> {
    if !Settings::is_json(json) {
        return Ok((Engine::from_json(json)?, None));
    }
    let settings = Settings::from_json(json)?;
    let mut engine = Engine::new();
    engine.set_producer(WASMTIME)?;
    engine.set_version_rule(match settings.version.as_str() {
        "" => VersionRule::None,
        version => VersionRule::Custom(version.to_owned()),
    })?;
    engine.set_target(&settings.target)?;
    Ok((engine, Some(settings)))
}
