import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.PerformanceOptionsEnum;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.api.SummaryEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.api.ServerValidationModeEnum;
import ca.uhn.fhir.rest.client.interceptor.AdditionalRequestHeadersInterceptor;
import ca.uhn.fhir.rest.gclient.DateClientParam;
import ca.uhn.fhir.rest.gclient.IQuery;
import ca.uhn.fhir.rest.gclient.ReferenceClientParam;
import ca.uhn.fhir.rest.gclient.TokenClientParam;
import ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException;
import ca.uhn.fhir.rest.server.exceptions.NotModifiedException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.hl7.fhir.instance.model.api.IBaseBundle;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.CapabilityStatement;
import org.hl7.fhir.r4.model.Device;
import org.hl7.fhir.r4.model.Encounter;
import org.hl7.fhir.r4.model.Location;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.OperationOutcome;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Provenance;

/** Walks the API at the first argument as a program of an EMR would; the second one is a patient's number, the third the
 * Cookie header of who asks. What it finds goes to standard output, a line a thing; it ends with 1 where something is not as FHIR or HAPI have it. */
public class FhirWalk {
  private static IGenericClient client;

  public static void main(String[] arguments) {
    FhirContext context = FhirContext.forR4();
    context.setPerformanceOptions(PerformanceOptionsEnum.DEFERRED_MODEL_SCANNING);
    context.setParserErrorHandler(new StrictErrorHandler());
    // ONCE: the client reads /metadata before anything else, and leaves where the version is another one.
    context.getRestfulClientFactory().setServerValidationMode(ServerValidationModeEnum.ONCE);
    client = context.newRestfulGenericClient(arguments[0]);
    AdditionalRequestHeadersInterceptor signedIn = new AdditionalRequestHeadersInterceptor();
    signedIn.addHeaderValue("Cookie", arguments[2]);
    client.registerInterceptor(signedIn);

    CapabilityStatement stated = client.capabilities().ofType(CapabilityStatement.class).execute();
    say("fhirVersion", stated.getFhirVersion().toCode());
    say("types", stated.getRestFirstRep().getResource().size());

    Bundle patients = search("Patient")
        .where(new TokenClientParam("identifier").exactly().code(arguments[1])).returnBundle(Bundle.class).execute();
    Patient patient = (Patient) patients.getEntryFirstRep().getResource();
    say("patient", patient.getNameFirstRep().getText());
    ReferenceClientParam whose = new ReferenceClientParam("patient");
    String patientId = patient.getIdElement().getIdPart();

    List<Observation> all = pages(search("Observation").where(whose.hasId(patientId)).count(50)
        .sort().ascending("date").returnBundle(Bundle.class).execute());
    say("observations", all.size());
    Bundle counted = search("Observation").where(whose.hasId(patientId)).summaryMode(SummaryEnum.COUNT)
        .returnBundle(Bundle.class).execute();
    check(counted.getTotal() == all.size(), "as many as are counted");
    Bundle posted = search("Observation").where(whose.hasId("Patient/" + patientId))
        .and(new TokenClientParam("code").exactly().systemAndCode("http://loinc.org", "8867-4"))
        .and(new DateClientParam("date").afterOrEquals().millis(all.get(0).getEffectiveDateTimeType().getValue()))
        .usingStyle(SearchStyleEnum.POST).returnBundle(Bundle.class).execute();
    List<Observation> rates = pages(posted);
    say("heart rates", rates.size());
    for (Observation rate : rates) {
      check(rate.getCode().getCoding().stream().anyMatch(c -> c.getCode().equals("8867-4")), "the code that was asked for");
      check(rate.getSubject().getReference().equals("Patient/" + patientId), "the patient who was asked for");
    }
    readEach(all);
    readWhatTheyReferTo(all);
    List<Observation> uncharted = pages(search("Observation").where(whose.hasId(patientId))
        .withTag("urn:vitalwire:tag", "device").returnBundle(Bundle.class).execute());
    say("uncharted", uncharted.size());
    refusals(patientId);
  }

  private static IQuery<IBaseBundle> search(String type) {
    return client.search().forResource(type);
  }

  private static List<Observation> pages(Bundle first) {
    List<Observation> found = new ArrayList<>();
    Set<String> ids = new HashSet<>();
    for (Bundle page = first; page != null;
        page = page.getLink(Bundle.LINK_NEXT) == null ? null : client.loadPage().next(page).execute()) {
      for (Bundle.BundleEntryComponent entry : page.getEntry()) {
        Observation observation = (Observation) entry.getResource();
        check(ids.add(observation.getIdElement().getIdPart()), "each once");
        check(entry.getFullUrl().endsWith(observation.getIdElement().toUnqualifiedVersionless().getValue()), "its address");
        found.add(observation);
      }
    }
    return found;
  }

  private static void readEach(List<Observation> all) {
    int versions = 0;
    for (Observation observation : all.subList(0, Math.min(20, all.size()))) {
      String id = observation.getIdElement().getIdPart();
      String version = observation.getMeta().getVersionId();
      Observation read = client.read().resource(Observation.class).withId(id).execute();
      check(read.getIdElement().getVersionIdPart().equals(version), "the version of the ETag");
      check(json(read).equals(json(observation)), "what was found is what is read: " + json(read) + json(observation));
      Observation versioned = client.read().resource(Observation.class).withIdAndVersion(id, version).execute();
      check(json(versioned).equals(json(observation)), "and what its version is");
      versions += 1;
      try {
        client.read().resource(Observation.class).withId(id).ifVersionMatches(version).throwNotModifiedException().execute();
        check(false, "304 for the version that is known");
      } catch (NotModifiedException expected) {
        versions += 1;
      }
    }
    say("read", versions);
  }

  private static String json(Observation observation) {
    return client.getFhirContext().newJsonParser().encodeResourceToString(observation);
  }

  private static void readWhatTheyReferTo(List<Observation> all) {
    Observation first = all.stream().filter(each -> each.hasDevice()).findFirst().get();
    Encounter encounter = client.read().resource(Encounter.class).withUrl(first.getEncounter().getReference()).execute();
    check(encounter.getSubject().getReference().equals(first.getSubject().getReference()), "the encounter's patient");
    Location bed = client.read().resource(Location.class)
        .withUrl(encounter.getLocationFirstRep().getLocation().getReference()).execute();
    Location ward = client.read().resource(Location.class).withUrl(bed.getPartOf().getReference()).execute();
    Device device = client.read().resource(Device.class).withUrl(first.getDevice().getReference()).execute();
    Bundle told = search("Provenance")
        .where(new ReferenceClientParam("target").hasId("Observation/" + first.getIdElement().getIdPart()))
        .returnBundle(Bundle.class).execute();
    Provenance provenance = (Provenance) told.getEntryFirstRep().getResource();
    check(provenance.getEntityFirstRep().getWhat().getIdentifier().hasValue(), "the value that it comes from");
    say("device", device.getDeviceNameFirstRep().getName());
    say("bed", bed.getName() + " in " + ward.getName());
  }

  private static void refusals(String patientId) {
    refused(400, "nonsense", () -> client.search().byUrl("Observation?nonsense=1").returnBundle(Bundle.class).execute());
    refused(400, "date", () -> client.search().byUrl("Observation?patient=" + patientId + "&date=soon")
        .returnBundle(Bundle.class).execute());
    refused(404, "", () -> client.read().resource(Observation.class).withId("nothing").execute());
    refused(404, "", () -> client.search().byUrl("Medication?_id=1").returnBundle(Bundle.class).execute());
    refused(405, "", () -> client.create().resource(new Observation()).execute());
    refused(405, "", () -> client.delete().resourceById("Observation", "1").execute());
  }

  private static void refused(int status, String parameter, Runnable ask) {
    try {
      ask.run();
    } catch (BaseServerResponseException refusal) {
      check(refusal.getStatusCode() == status, status + " and not " + refusal.getStatusCode());
      OperationOutcome outcome = (OperationOutcome) refusal.getOperationOutcome();
      check(outcome != null && outcome.getIssueFirstRep().hasDiagnostics(), "an OperationOutcome");
      check(outcome.getIssueFirstRep().getDiagnostics().contains(parameter), "the name of the parameter");
      say("refused", status);
      return;
    }
    check(false, status + " was expected");
  }

  private static void say(String name, Object value) {
    System.out.println(name + "=" + value);
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      System.err.println("not so: " + what);
      System.exit(1);
    }
  }
}
